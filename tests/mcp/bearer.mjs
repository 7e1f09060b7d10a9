// Adds a token to each request: the conformance suite has no option for one. Prints the port that it listens at.
import http from "node:http";

const target = new URL(process.env.MCP_URL);
const server = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${process.env.MCP_TOKEN}` };
  const options = { host: target.hostname, port: target.port, path: request.url, method: request.method, headers };
  const onward = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
