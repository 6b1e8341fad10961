"use strict";
// A version of axios.
const axios = require("axios");
const { each } = require("./each.js");

each((url) => axios.get(url, { timeout: 10_000, maxRedirects: 0 }));
