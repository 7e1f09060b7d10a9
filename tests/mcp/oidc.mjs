// A real authorization server: from our metadata to a token of it, to a tool.
import assert from "node:assert/strict";
import { Provider } from "oidc-provider";

const issuer = process.env.OIDC_ISSUER;
const url = process.env.MCP_URL;
const scope = "subscriptions:read subscriptions:write events:read";

// The client's id is what it is here: the id of an Odoo user.
const client = (client_id) => ({
  client_id, client_secret: "of-a-test", grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
});
const provider = new Provider(issuer, {
  clients: [client("2"), client("nobody")],
  scopes: scope.split(" "),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope, audience: resource, accessTokenFormat: "jwt", accessTokenTTL: 300, jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});
const server = provider.listen(Number(new URL(issuer).port), "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));

async function rpc(token, params) {
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "oauth", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  return fetch(url, {
    method: "POST",
    headers: {
      accept: "application/json, text/event-stream", "content-type": "application/json",
      "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": params.name,
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { ...params, _meta } }),
  });
}
const list = { name: "list_subscriptions", arguments: {} };

// What a client does that knows nothing but the address.
const stranger = await rpc(undefined, list);
assert.equal(stranger.status, 401);
const metadata_url = /resource_metadata="([^"]+)"/.exec(stranger.headers.get("www-authenticate"))[1];
const metadata = await (await fetch(metadata_url)).json();
assert.deepEqual(metadata.authorization_servers, [issuer]);
const found = await (await fetch(`${metadata.authorization_servers[0]}/.well-known/openid-configuration`)).json();

async function token({ id = "2", resource = metadata.resource, asked = scope } = {}) {
  const answer = await fetch(found.token_endpoint, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${id}:of-a-test`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope: asked, resource }),
  });
  const said = await answer.json();
  assert.ok(said.access_token, JSON.stringify(said));
  return said.access_token;
}

const listed = await rpc(await token(), list);
assert.equal(listed.status, 200, await listed.clone().text());
assert.deepEqual((await listed.json()).result.structuredContent.subscriptions, []);

const other = await rpc(await token({ resource: "https://other.example.com/mcp" }), list);
assert.equal(other.status, 401);
assert.match(other.headers.get("www-authenticate"), /error="invalid_token"/);

const reader = await token({ asked: "events:read" });
const refused = await rpc(reader, { name: "subscribe_events", arguments: { model: "sale.order" } });
assert.equal(refused.status, 403);
assert.match(refused.headers.get("www-authenticate"), /error="insufficient_scope".*scope="subscriptions:write"/);

const nobody = await rpc(await token({ id: "nobody" }), list);
assert.equal(nobody.status, 403);
console.log("ok oidc-provider");
process.exit(0);
