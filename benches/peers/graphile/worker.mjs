// What one who delivers webhooks by graphile-worker writes: a task that signs its payload and POSTs it.
//
// `DATABASE_URL`, `ENDPOINT` and `SECRET` (base64) in the environment; prints `ready` once its schema is there and it looks for
// jobs. It keeps no log of its attempts: a job that succeeded is gone.

import { createHmac } from "node:crypto";
import http from "node:http";
import { Logger, run } from "graphile-worker";

const CONCURRENT_JOBS = 50;

const endpoint = new URL(process.env.ENDPOINT);
const secret = Buffer.from(process.env.SECRET, "base64");
// node:http with connections kept takes less processor time for a request than fetch does.
const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENT_JOBS });

function post(headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(endpoint, { method: "POST", agent, headers, timeout: 10_000 }, (response) => {
      // A connection goes back to the agent when its answer was read.
      response.resume();
      response.on("error", reject);
      response.on("end", () => resolve(response.statusCode));
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 10 s")));
    request.on("error", reject);
    request.end(body);
  });
}

async function webhook(payload, { job }) {
  const body = JSON.stringify(payload);
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac("sha256", secret).update(`${job.id}.${timestamp}.${body}`).digest("base64");
  const status = await post(
    {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "webhook-id": job.id,
      "webhook-timestamp": timestamp,
      "webhook-signature": `v1,${signature}`,
    },
    body,
  );
  if (status < 200 || status > 299) {
    throw new Error(`the endpoint answered ${status}`);
  }
}

const runner = await run({
  taskList: { webhook },
  parsedCronItems: [],
  // Two lines for each job would be measured, too.
  logger: new Logger(() => (level, message) => {
    if (level === "error") {
      console.error(message);
    }
  }),
  preset: {
    worker: {
      connectionString: process.env.DATABASE_URL,
      concurrentJobs: CONCURRENT_JOBS,
      // The rest is what its page on performance advises for a busy queue.
      maxPoolSize: CONCURRENT_JOBS + 2,
      localQueue: { size: 200 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
console.log("ready");
await runner.promise;
