import { serve } from "naysay/worker/serve";

serve();
