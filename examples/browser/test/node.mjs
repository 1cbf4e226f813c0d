// The module in Node.js: the training has the hash of `trine train` where products are rounded, and the
// engine is held against the reference and against naive loops. `node test/node.mjs [hash [--once] [--portable]]`;
// once: without a second training and without measuring; portable: a module that was built so.
import { readFile } from 'node:fs/promises';
import { DEFAULTS, Trainer, WIDTHS } from '../www/trainer.js';

const www = new URL('../www/', import.meta.url);
const module = await readFile(new URL('trine.wasm', www));
const trainer = await Trainer.load(module, await readFile(new URL('digits.csv.gz', www)));
let failures = 0;

function check(sentence, holds) {
    console.log(`check: ${sentence} ... ${holds ? 'ok' : 'FAILED'}`);
    if (!holds) failures++;
}

function fails(sentence, work, message) {
    let said = 'nothing';
    try {
        work();
    } catch (error) {
        said = error.message;
    }
    check(`wasm in Node.js: ${sentence} is refused: ${said}`, said.includes(message));
}

function training() {
    trainer.start();
    const losses = [];
    const start = performance.now();
    while (!trainer.done) {
        trainer.step();
        if (trainer.steps % trainer.stepsAnEpoch === 0) losses.push(trainer.epochLoss);
    }
    const time = performance.now() - start;
    const [correct, { training, test }] = [trainer.correct(), trainer.images];
    const share = (100 * correct) / test;
    console.log(`engine     ${trainer.engine}, module of ${module.length} bytes`);
    console.log(`accuracy   ${share.toFixed(1)} % of the test set (${correct} of ${test}), loss ${losses.at(-1).toFixed(4)} in training`);
    console.log(`time       ${time.toFixed(0)} ms, ${Math.round((1000 * DEFAULTS.epochs * training) / time)} samples a second`);
    console.log(`weights    ${trainer.hash()} (FNV-1a), where products are rounded before they are added`);
    check('wasm in Node.js: at least 97 % of the test set are recognised', share >= 97);
    check('wasm in Node.js: the loss falls', losses.length === 40 && losses.at(-1) < losses[0] / 10);
    const held = trainer.batch * WIDTHS.reduce((sum, width) => sum + 4 * width, 0);
    check(`wasm in Node.js: the activations of the picture, ${held} bytes, are those of the cache`, trainer.peakBytes === held);
    return trainer.hash();
}

/** Milliseconds of one call: the least of a few samples of about 20 ms. */
function timed(op, naive) {
    let [times, best] = [1, Infinity];
    for (;;) {
        const start = performance.now();
        trainer.runLayer(op, naive, times);
        const time = performance.now() - start;
        if (time >= 20) break;
        times *= 2;
    }
    for (let i = 0; i < 7; i++) {
        const start = performance.now();
        trainer.runLayer(op, naive, times);
        best = Math.min(best, (performance.now() - start) / times);
    }
    return best;
}

const LAYERS = [[16, 64, 10], [64, 64, 128], [64, 128, 64], [37, 53, 41], [64, 256, 256], [256, 256, 256]];

function bits() {
    for (const [n, d, m] of LAYERS) {
        trainer.setLayer(n, d, m);
        trainer.checkLayer();
    }
    check(`wasm in Node.js: ${LAYERS.length} layers have the bits of the reference`, true);
}

function speed() {
    console.log('speed in Node.js, GFLOP/s; in brackets how many times as fast as naive loops compiled alike');
    console.log('n×d×m           forward          ∇X               ∇W, ∇b');
    for (const [n, d, m] of LAYERS) {
        trainer.setLayer(n, d, m);
        const cells = [0, 1, 2].map((op) => {
            const [ours, naive] = [timed(op, false), timed(op, true)];
            return `${((2 * n * d * m) / ours / 1e6).toFixed(1)} (${(naive / ours).toFixed(2)}×)`.padEnd(17);
        });
        console.log(`${`${n}×${d}×${m}`.padEnd(15)} ${cells.join('')}`);
    }
}

const hash = training();
const [expected, ...options] = process.argv.slice(2);
const once = options.includes('--once');
const engine = options.includes('--portable') ? 'portable' : 'simd128';
check(`wasm in Node.js: the engine is ${trainer.engine}`, trainer.engine === engine);
if (!once) check('wasm in Node.js: trained again, the same weights', training() === hash);
if (expected) check(`wasm in Node.js: the weights are those of an engine on the CPU, ${expected}`, hash === expected);
fails('a batch of 0', () => trainer.start({ ...DEFAULTS, batch: 0 }), 'batch');
fails('a batch of 257', () => trainer.start({ ...DEFAULTS, batch: 257 }), 'batch');
fails('a learning rate that is not a number', () => trainer.setLearningRate(NaN), 'lr');
fails('a layer without columns', () => trainer.setLayer(4, 4, 0), 'sides');
bits();
if (!once) speed();
process.exitCode = failures ? 1 : 0;
