// Runs a WebAssembly program in Node.js: `node run.mjs program.wasm arguments…`, as cargo's runner for
// wasm32-wasip1. What it says and how it ends are what the program says and how it ends.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { WASI } from 'node:wasi';

const [path, ...rest] = process.argv.slice(2);
const wasi = new WASI({
    version: 'preview1',
    args: [basename(path), ...rest],
    env: process.env,
    returnOnExit: true,
});

// There are no threads. Where the C library lacks the function that says so, this one does; what goes
// before it works.
const ENOTSUP = 58;
const env = new Proxy({}, { get: (_, name) => (name === 'pthread_create' ? () => ENOTSUP : () => 0) });

const module = await WebAssembly.compile(await readFile(path));
const instance = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
process.exitCode = wasi.start(instance);
