/** Relative addresses, so that the built page may lie in any folder of a server. */
export default {
  base: "./",
  build: { target: "es2022" },
  worker: { format: "es" },
  // In this repository `naysay` is a link to a folder above this one.
  server: { fs: { allow: ["../.."] } },
};
