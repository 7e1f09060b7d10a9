// The official conformance suite, scenario by scenario. A check that fails or warns is a failure here, unless conformance.json names it
// with a reason; one that is named and does not fail is one too.
import { execFile } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { promisify } from "node:util";

const here = import.meta.dirname;
const target = new URL(process.env.MCP_URL);
const { scenarios, exceptions } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

function call(name, args) {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "conformance", version: "1" },
  };
  return fetch(target, {
    method: "POST",
    headers: {
      accept: "application/json, text/event-stream", "content-type": "application/json", "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call", "mcp-name": name, authorization: `Bearer ${process.env.MCP_TOKEN}`,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args, _meta } }),
  });
}
const made = await (await call("subscribe_events", { model: "res.partner" })).json();
const resource = made.result.structuredContent.resource_uri;

// The suite has no option for a token, and watches a resource that only its own example has: one of ours stands for it.
const proxy = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString().replaceAll("test://watched-resource", resource);
    const headers = { ...request.headers, authorization: `Bearer ${process.env.MCP_TOKEN}` };
    delete headers["transfer-encoding"];
    headers["content-length"] = Buffer.byteLength(body);
    for (const [name, value] of Object.entries(headers)) {
      if (value === "test://watched-resource") headers[name] = resource;
    }
    const options = { host: target.hostname, port: target.port, path: request.url, method: request.method, headers };
    const onward = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    onward.end(body);
  });
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const url = `http://localhost:${proxy.address().port}/mcp`;

function checksBelow(folder) {
  const files = fs.readdirSync(folder, { recursive: true }).filter((file) => path.basename(file) === "checks.json");
  return files.flatMap((file) => JSON.parse(fs.readFileSync(path.join(folder, file), "utf8")));
}

let failed = 0;
for (const [version, names] of Object.entries(scenarios)) {
  for (const name of names) {
    const folder = path.join(here, "conformance", version, name);
    fs.rmSync(folder, { recursive: true, force: true });
    const suite = path.join(here, "node_modules/@modelcontextprotocol/conformance/dist/index.js");
    const options = ["server", "--url", url, "--scenario", name, "--spec-version", version, "--output-dir", folder];
    const output = await promisify(execFile)(process.execPath, [suite, ...options]).catch((error) => error);
    const checks = fs.existsSync(folder) ? checksBelow(folder) : [];
    const excepted = exceptions[`${version} ${name}`] ?? {};
    const faults = checks.filter((check) => check.status === "FAILURE" || check.status === "WARNING");
    const unknown = faults.filter((check) => !(check.id in excepted));
    const stale = Object.keys(excepted).filter((id) => !faults.some((check) => check.id === id));
    const passed = checks.filter((check) => check.status === "SUCCESS");
    if (passed.length === 0 || unknown.length > 0 || stale.length > 0) {
      failed += 1;
      console.log(`failed ${version} ${name}`, JSON.stringify({ unknown, stale }, null, 1));
      if (checks.length === 0) console.log(output.stdout, output.stderr);
    } else {
      console.log(`ok ${version} ${name}: ${passed.length} checks, ${faults.length} excepted`);
    }
  }
}
process.exit(failed === 0 ? 0 : 1);
