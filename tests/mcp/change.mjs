// Changes an order as Odoo would, by psql.
import { execFileSync } from "node:child_process";

export function change(reference) {
  const sql = `update sale_order set client_order_ref = '${reference}' where id = 1`;
  execFileSync(process.env.MCP_PSQL, ["-qXd", process.env.MCP_DATABASE_URL, "-c", sql]);
}
