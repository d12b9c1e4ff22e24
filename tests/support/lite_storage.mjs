/**
 * Loaded before Supabase Lite 0.10: on Node 20 the streams that it downloads from hold no bytes,
 * unless they are asked for, and every download is cut at its first byte.
 */
import { open } from "node:fs/promises";

const handle = await open(process.execPath);
const kind = Object.getPrototypeOf(handle);
const { readableWebStream } = kind;
kind.readableWebStream = function () {
  return readableWebStream.call(this, { type: "bytes" });
};
await handle.close();
