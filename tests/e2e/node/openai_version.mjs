// Prints the version of the OpenAI client that `npm ci` installed, as the client itself states it.
import OpenAI from "openai";
import { VERSION } from "openai/version";

new OpenAI({ apiKey: "unused", baseURL: "http://127.0.0.1:1/v1" });
console.log(VERSION);
