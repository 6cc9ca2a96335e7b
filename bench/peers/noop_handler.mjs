// A handler process without an SDK, whose one job type does nothing: what the hop costs in Node.
import { Socket } from "node:net";
import { createInterface } from "node:readline";

const channel = new Socket({ fd: Number(process.env.POLYCHRON_FD) });
channel.write('{"hello":{"protocol":1,"types":["noop"]}}\n');
createInterface({ input: channel }).on("line", (line) => {
  const { start } = JSON.parse(line);
  if (start) channel.write(JSON.stringify({ done: { id: start.id, result: null } }) + "\n");
});
channel.on("end", () => process.exit(0));
