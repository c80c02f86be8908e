/** wgsl_reflect's module for Node and bundlers alike has the types of its entry, which names a file for Node only. */
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export * from "wgsl_reflect";
}
