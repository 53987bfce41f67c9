// Asks a front over HTTP/2 and prints what came, as one JSON document.
//   node http2.mjs URL CERTIFICATE KEY
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [url, certificate, key] = process.argv.slice(2);
const session = http2.connect(url, { ca: readFileSync(certificate) });

function ask(path, prompt, { stream = false, leaveAfter = "" } = {}) {
  const body = JSON.stringify({ model: "chat", stream, messages: [{ role: "user", content: prompt }] });
  return new Promise((resolve, reject) => {
    const request = session.request({
      ":method": "POST",
      ":path": path,
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
    });
    const told = { status: 0, body: "" };
    request.setEncoding("utf8");
    request.on("response", (headers) => {
      told.status = headers[":status"];
      told.id = headers["x-request-id"];
    });
    request.on("data", (piece) => {
      told.body += piece;
      if (leaveAfter && told.body.includes(leaveAfter)) request.close(http2.constants.NGHTTP2_CANCEL);
    });
    request.on("close", () => resolve(told));
    request.on("error", (error) => (leaveAfter ? resolve(told) : reject(error)));
    request.end(body);
  });
}

const chat = "/v1/chat/completions";
const told = {};
told.whole = await ask(chat, "hi");
told.streams = await Promise.all(Array.from({ length: 20 }, () => ask(chat, "hi [[chunks=20]]", { stream: true })));
told.escaped = await ask("/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21", "hi");
told.left = await ask(chat, "hi [[chunks=9 stall=2]]", { stream: true, leaveAfter: "w2 " });
told.protocol = session.alpnProtocol;
session.close();
console.log(JSON.stringify(told));
