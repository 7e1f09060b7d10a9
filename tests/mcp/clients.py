"""The official Python client, in both eras: subscribe, a change by psql, the update arrives, the event is read, unsubscribe."""

import os
import subprocess
import warnings

import anyio
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

# It warns of what only the old era has.
warnings.simplefilter("ignore")

URL = os.environ["MCP_URL"]
TOKEN = os.environ["MCP_TOKEN"]


def change(reference):
    """Changes an order as Odoo would."""
    sql = f"update sale_order set client_order_ref = '{reference}' where id = 1"
    subprocess.run([os.environ["MCP_PSQL"], "-qXd", os.environ["MCP_DATABASE_URL"], "-c", sql], check=True)


async def done(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.structured_content


async def walk(mode):
    name = f"python, {mode}"
    updated = anyio.Event()

    async def heard(message):
        if type(message).__name__ == "ResourceUpdatedNotification":
            updated.set()

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(URL, http_client=http)
        async with Client(transport, mode=mode, message_handler=heard) as client:
            tools = await client.list_tools()
            assert "subscribe_events" in [tool.name for tool in tools.tools]
            wanted = {"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"]}
            made = await done(client, "subscribe_events", **wanted, domain=f"[('client_order_ref', '=', '{name}')]")
            of, uri = made["subscription_id"], made["resource_uri"]
            if mode == "legacy":
                await client.subscribe_resource(uri)
                change(name)
                with anyio.fail_after(60):
                    await updated.wait()
                await client.unsubscribe_resource(uri)
            else:
                async with client.listen(resource_subscriptions=[uri]) as subscription:
                    change(name)
                    with anyio.fail_after(60):
                        async for event in subscription:
                            assert event.uri == uri, event
                            break
            page = await done(client, "poll_events", subscription_id=of)
            assert len(page["events"]) == 1, page
            change("of somebody else")
            change(name)
            page = await done(client, "wait_for_events", subscription_id=of, cursor=page["cursor"], timeout_s=30)
            assert len(page["events"]) == 1, page
            ended = await done(client, "unsubscribe_events", subscription_id=of)
            assert ended["active"] is False
    print(f"ok {name}")


async def main():
    for mode in ("legacy", "2026-07-28"):
        await walk(mode)


anyio.run(main)
