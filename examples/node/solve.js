// Solve one problem.
//
//   eval "$(rstar env)"
//   node examples/node/solve.js "Solve 3*x + 4 = 19 for x."
import { SearcherService, call, connect } from "./client.js";

const question = process.argv[2] ?? "Solve 3*x + 4 = 19 for x.";
const client = connect(SearcherService);
try {
  const { result } = await call(client, "Solve", {
    problem: { question },
    settings: { rollouts: 8, seed: 1 },
  });
  for (const step of result.solution) {
    console.log(step.text);
    console.log("  printed:", step.output.trim() || "nothing");
  }
  console.log("answer:", result.answer);
} catch (error) {
  console.error(error.message); // the status code and, for bad input, the field at fault
  process.exitCode = 1;
} finally {
  client.close();
}
