"use strict";
// fetch of Node.js, by the dispatcher that NODE_USE_ENV_PROXY=1 installs, made for each case: it reads the
// variables once.
const { each } = require("./each.js");

const { constructor: EnvHttpProxyAgent } = globalThis[Symbol.for("undici.globalDispatcher.1")];
if (EnvHttpProxyAgent.name !== "EnvHttpProxyAgent") throw new Error("NODE_USE_ENV_PROXY=1 has no effect");

each(async (url) => {
  const dispatcher = new EnvHttpProxyAgent();
  try {
    await fetch(url, { dispatcher, signal: AbortSignal.timeout(10_000) });
  } finally {
    await dispatcher.destroy();
  }
});
