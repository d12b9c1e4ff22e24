// The usual relay in Node.js: socket.io, the OpenAI client's stream, an emit a token.
// It stores nothing, numbers nothing and resumes nothing.
import { createRequire } from "node:module";

// The packages stand in bench/node, with their lock file.
const require = createRequire(new URL("../node/package.json", import.meta.url));
const { Server } = require("socket.io");
const { OpenAI } = require("openai");

const openai = new OpenAI();
const io = new Server();

io.on("connection", (socket) => {
  socket.on("send", async ({ text }) => {
    try {
      const stream = await openai.chat.completions.create({
        model: "bench",
        messages: [{ role: "user", content: text }],
        stream: true,
      });
      for await (const chunk of stream) {
        const delta = chunk.choices[0]?.delta?.content;
        if (delta) socket.emit("token", { delta });
      }
      socket.emit("done", {});
    } catch (error) {
      console.error(error.message);
    }
  });
});

io.listen(Number(process.env.PORT));
