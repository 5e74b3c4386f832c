// Perfetto's trace processor, built for a browser's worker, as a filter: requests on standard input, answers on
// standard output, both as protobuf TraceProcessorRpcStream (perfetto's trace_processor.proto).
// The argument is the folder with engine_bundle.js and its WebAssembly.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = process.argv[2];
const requests = new Uint8Array(fs.readFileSync(0));

// What a worker has and Node has not.
class FileRequest {
  open(_method, name) {
    this.name = path.basename(name);
  }
  send() {
    const bytes = fs.readFileSync(path.join(folder, this.name));
    this.response = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }
}

globalThis.self = globalThis;
globalThis.WorkerGlobalScope = function () {};
globalThis.location = { href: "https://localhost/" };
globalThis.XMLHttpRequest = FileRequest;
globalThis.console = { ...console, log: console.error };
const say = (bytes) => {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(1, bytes, done);
  }
};
// The bundle refuses what looks like Node.
Object.defineProperty(globalThis, "process", { value: undefined });

vm.runInThisContext(fs.readFileSync(path.join(folder, "engine_bundle.js"), "utf8"));
const port = { postMessage: say };
self.onmessage({ data: port });
// It is ready behind what waits already.
setTimeout(() => port.onmessage({ data: requests }), 0);
