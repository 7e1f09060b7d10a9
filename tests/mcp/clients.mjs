// The official TypeScript clients, in both eras: subscribe, a change by psql, the update arrives, the event is read, unsubscribe.
import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { change } from "./change.mjs";

const url = new URL(process.env.MCP_URL);
const requestInit = { headers: { Authorization: `Bearer ${process.env.MCP_TOKEN}` } };

// Resolves with the next call of `told`.
function once() {
  let told;
  const promise = new Promise((resolve) => (told = resolve));
  return { promise, told };
}

async function done(client, name, args) {
  const result = await client.callTool({ name, arguments: args });
  assert.notEqual(result.isError, true, JSON.stringify(result));
  return result.structuredContent;
}

async function walk(name, client, { listen, unlisten, onUpdate }) {
  const tools = await client.listTools();
  assert.ok(tools.tools.some((tool) => tool.name === "subscribe_events"));
  const described = await done(client, "describe_model", { model: "sale.order" });
  assert.ok(described.fields.some((field) => field.field === "client_order_ref"));
  // Each client has a subscription of its own: an equal one would be answered instead.
  const wanted = {
    model: "sale.order", event_type: "write", fields: ["client_order_ref"], domain: `[('client_order_ref', '=', '${name}')]`,
  };
  const { subscription_id, resource_uri } = await done(client, "subscribe_events", wanted);
  const updated = once();
  onUpdate((params) => params.uri === resource_uri && updated.told());
  await listen(resource_uri);
  change(name);
  await updated.promise;
  const page = await done(client, "poll_events", { subscription_id });
  assert.equal(page.events.length, 1, JSON.stringify(page));
  assert.equal(page.events[0].model, "sale.order");
  // After a break the cursor finds what has come meanwhile, once.
  change("of somebody else");
  change(name);
  const next = await done(client, "wait_for_events", { subscription_id, cursor: page.cursor, timeout_s: 30 });
  assert.equal(next.events.length, 1, JSON.stringify(next));
  const read = await client.readResource({ uri: resource_uri });
  assert.equal(JSON.parse(read.contents[0].text).events.length, 2);
  await unlisten(resource_uri);
  const ended = await done(client, "unsubscribe_events", { subscription_id });
  assert.equal(ended.active, false);
  await client.close();
  console.log(`ok ${name}`);
}

{
  const client = new OldClient({ name: "typescript-sdk", version: "1" });
  await client.connect(new OldTransport(url, { requestInit }));
  await walk("sdk", client, {
    listen: (uri) => client.subscribeResource({ uri }),
    unlisten: (uri) => client.unsubscribeResource({ uri }),
    onUpdate: (told) =>
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, (message) => told(message.params)),
  });
}
for (const mode of ["legacy", { pin: "2026-07-28" }]) {
  const client = new Client({ name: "typescript-client", version: "2" }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
  let subscription;
  await walk(mode === "legacy" ? "client, old era" : "client, new era", client, {
    listen: async (uri) => {
      if (mode === "legacy") await client.subscribeResource({ uri });
      else subscription = await client.listen({ resourceSubscriptions: [uri] });
    },
    unlisten: async (uri) => {
      if (mode === "legacy") await client.unsubscribeResource({ uri });
      else await subscription.close();
    },
    onUpdate: (told) =>
      client.setNotificationHandler("notifications/resources/updated", (message) => told(message.params)),
  });
}
process.exit(0);
