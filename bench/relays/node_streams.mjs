// One of several workers in Node.js: socket.io with its Redis Streams adapter. A question names the
// port of a worker, which streams the answer to the asker's room on whichever worker that is.
import { createRequire } from "node:module";

// The packages stand in bench/node, with their lock file.
const require = createRequire(new URL("../node/package.json", import.meta.url));
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-streams-adapter");
const { createClient } = require("redis");
const { OpenAI } = require("openai");

const port = Number(process.env.PORT);
const openai = new OpenAI();
const engine = createClient({ url: process.env.VALKEY_URL });
engine.on("error", (error) => console.error(error.message));
await engine.connect();
const io = new Server({ adapter: createAdapter(engine) });

async function answer(text, room) {
  try {
    const stream = await openai.chat.completions.create({
      model: "bench",
      messages: [{ role: "user", content: text }],
      stream: true,
    });
    for await (const chunk of stream) {
      const delta = chunk.choices[0]?.delta?.content;
      if (delta) io.to(room).emit("token", { delta });
    }
    io.to(room).emit("done", {});
  } catch (error) {
    console.error(error.message);
  }
}

io.on("asked", (home, text, room) => {
  if (home === port) answer(text, room);
});

io.on("connection", (socket) => {
  socket.on("send", ({ text, home }) => {
    if (home === port) answer(text, socket.id);
    else io.serverSideEmit("asked", home, text, socket.id);
  });
});

io.listen(port);
