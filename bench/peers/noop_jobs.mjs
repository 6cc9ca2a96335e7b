// A handler that does nothing, with the SDK. One execution at a time, like a process of the other contestants.
import { serve } from "../../sdk/node/polychron.js";

serve({ noop() {} }, { concurrency: 1 });
