// Loaded before Portkey's server. On Node 20 the server's own Response class has headers that its streams may not change
// and every streamed answer is a 500; this keeps Node's class in place.
const define = Object.defineProperty;
Object.defineProperty = (where, name, how) =>
  where === globalThis && name === "Response" ? where : define(where, name, how);
