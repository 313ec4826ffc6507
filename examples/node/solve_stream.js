// Solve one problem and see the search as it runs.
//
//   eval "$(rstar env)"
//   node examples/node/solve_stream.js "Solve 3*x + 4 = 19 for x."
import { SearcherService, connect } from "./client.js";

const question = process.argv[2] ?? "Solve 3*x + 4 = 19 for x.";
const client = connect(SearcherService);
const events = client.SolveStream(
  { problem: { question }, settings: { rollouts: 8, seed: 1 } },
  { deadline: Date.now() + 300_000 },
);
try {
  for await (const event of events) {
    if (event.event === "started") console.log("search", event.search_id);
    if (event.event === "expansion") {
      const { parent, children, dropped } = event.expansion;
      console.log(`node ${parent}: ${children.length} steps, ${dropped} dropped`);
    }
    if (event.event === "rollout_ended") {
      const { rollouts_done, rollouts_total, best_answer } = event.rollout_ended;
      console.log(`rollout ${rollouts_done} of ${rollouts_total}: ${best_answer}`);
    }
    if (event.event === "finished") console.log("answer:", event.finished.result.answer);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  client.close();
}
