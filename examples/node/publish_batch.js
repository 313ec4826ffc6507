// Publish a batch of problems on the queue and read the results while they come.
//
//   eval "$(rstar env)"
//   node examples/node/publish_batch.js
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { connect as natsConnect, headers } from "nats";
import { BatchService, call, connect } from "./client.js";

const batch = {
  batch_id: `example-${randomUUID().slice(0, 8)}`,
  problems: [
    { problem_id: "linear", question: "Solve 3*x + 4 = 19 for x." },
    { problem_id: "sum", question: "What is 21 + 21?" },
    { problem_id: "derivative", question: "What is the derivative of 5*y**2 + 3 wrt y?" },
  ],
  settings: { rollouts: 8 },
};

async function publish() {
  const { hostname, port, username, password } = new URL(process.env.NATS_URL);
  const client = await natsConnect({
    servers: `${hostname}:${port}`,
    user: decodeURIComponent(username) || undefined,
    pass: decodeURIComponent(password) || undefined,
  });
  const kind = headers();
  kind.set("Content-Type", "application/json");
  // JetStream confirms that the message is stored; publishing it again is harmless.
  await client.jetstream().publish("rstar.batches.submit", JSON.stringify(batch), { headers: kind });
  await client.close();
}

async function readResults(client) {
  const NOT_FOUND = 5; // not taken in yet
  let page_token = "";
  for (;;) {
    let page = { results: [], complete: false, next_page_token: "" };
    try {
      page = await call(client, "ListBatchResults", { batch_id: batch.batch_id, page_token }, 30);
    } catch (error) {
      if (error.code !== NOT_FOUND) throw error;
    }
    for (const { problem_id, result } of page.results) {
      console.log(`${problem_id}: ${result.answer || result.status}`);
    }
    if (page.complete) return;
    page_token = page.next_page_token;
    await pause(500);
  }
}

const client = connect(BatchService);
try {
  await publish();
  console.log("published", batch.batch_id);
  await readResults(client);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  client.close();
}
