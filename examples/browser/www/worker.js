// Trains in a thread of its own, so that the page stays responsive.
//
// In: {kind: 'start' | 'pause' | 'reset' | 'one', settings, pace} · {kind: 'lr' | 'pace', value} · {kind: 'predict', pixels}
// Out: {kind: 'ready' | 'state' | 'prediction' | 'error', …}
import { DEFAULTS, Trainer } from './trainer.js';

/** Milliseconds between two messages to the page: a frame. */
const FRAME = 16;
/** Milliseconds for which one step is shown in slow motion. */
const SLOW = 1600;

let trainer;
let running = false;
let settings = { ...DEFAULTS };
/** 'slow': a step at a time; 'watch': a few in each frame; 'full': as many as fit. */
let pace = 'watch';
/** Losses of batches that the page has not been told yet, and its phases at the last message. */
let losses = [];
let epochs = [];
let correct = 0;
/** Which training this is: one more with every reset. */
let training = 0;

function oneStep() {
    trainer.step();
    losses.push(trainer.batchLoss);
    if (trainer.steps % trainer.stepsAnEpoch === 0) {
        correct = trainer.correct();
        epochs.push({ step: trainer.steps, loss: trainer.epochLoss, correct });
    }
}

function tell() {
    const phases = trainer.phases();
    postMessage({
        kind: 'state',
        training,
        running,
        done: trainer.done,
        steps: trainer.steps,
        stepsInAll: trainer.stepsInAll,
        stepsAnEpoch: trainer.stepsAnEpoch,
        batch: trainer.batch,
        losses,
        epochs,
        correct,
        loss: trainer.steps ? trainer.batchLoss : null,
        phases,
        peakBytes: trainer.peakBytes,
        hash: trainer.hash(),
    });
    losses = [];
    epochs = [];
}

const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

async function run() {
    while (running && !trainer.done) {
        const start = performance.now();
        if (pace === 'full') {
            while (!trainer.done && performance.now() - start < FRAME) oneStep();
        } else {
            const steps = pace === 'slow' ? 1 : Math.max(1, Math.round(trainer.stepsInAll / 500));
            for (let i = 0; i < steps && !trainer.done; i++) oneStep();
        }
        tell();
        await pause(pace === 'slow' ? SLOW : Math.max(0, FRAME - (performance.now() - start)));
    }
    if (trainer.done) running = false;
    tell();
}

function reset() {
    training++;
    trainer.start(settings);
    losses = [];
    epochs = [];
    correct = trainer.correct();
}

const actions = {
    start() {
        if (running) return;
        if (trainer.done) reset();
        running = true;
        run().catch(fail);
    },
    pause() {
        running = false;
        tell();
    },
    one() {
        running = false;
        if (!trainer.done) oneStep();
        tell();
    },
    reset(message) {
        running = false;
        settings = { ...settings, ...message.settings };
        reset();
        tell();
    },
    lr(message) {
        settings.lr = message.value;
        trainer.setLearningRate(message.value);
    },
    pace(message) {
        pace = message.value;
    },
    predict(message) {
        postMessage({ kind: 'prediction', probabilities: trainer.predict(message.pixels) });
    },
};

function fail(error) {
    running = false;
    postMessage({ kind: 'error', message: error.message });
}

async function bytes(path) {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`${path}: ${response.status}. Has ./build been run?`);
    return new Uint8Array(await response.arrayBuffer());
}

try {
    trainer = await Trainer.load(await bytes('trine.wasm'), await bytes('digits.csv.gz'));
    reset();
    onmessage = ({ data }) => {
        try {
            actions[data.kind](data);
        } catch (error) {
            fail(error);
        }
    };
    postMessage({ kind: 'ready', engine: trainer.engine, images: trainer.images });
    tell();
} catch (error) {
    fail(error);
}
