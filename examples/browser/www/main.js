// The page: shows what the worker says, tells it what is wanted.
import { Curve } from './curve.js';
import { Drawing } from './draw.js';
import { Pebbles } from './pebbles.js';
import { DEFAULTS } from './trainer.js';

const at = (id) => document.getElementById(id);
const curve = new Curve(at('curve'));
const pebbles = new Pebbles(at('pebbles'));
const worker = new Worker('worker.js', { type: 'module' });
/** The last state of the worker, and when in the picture its step began. */
let state = { steps: 0, stepsAnEpoch: 23, stepsInAll: 920, batch: DEFAULTS.batch, phases: [0], running: false };
let images = { training: 1, test: 1 };
let shown = 0;
let stale = true;

/** Milliseconds in which the line goes through a step. */
const SWEEP = 1600;

const settings = () => ({
    batch: Number(at('batch').value),
    epochs: Number(at('epochs').value),
    lr: rate(),
    seed: DEFAULTS.seed,
});
/** The slider is a power of ten; its place for the default gives exactly that. */
const rate = () => Number((10 ** Number(at('lr').value)).toPrecision(2));
at('lr').value = Math.log10(DEFAULTS.lr);

function show() {
    at('epoch').textContent = `${Math.floor(state.steps / state.stepsAnEpoch)} of ${Math.round(state.stepsInAll / state.stepsAnEpoch)}`;
    at('loss').textContent = state.loss === null || state.loss === undefined ? '–' : state.loss.toPrecision(3);
    at('accuracy').textContent = `${((100 * state.correct) / images.test).toFixed(1)} %`;
    at('hash').textContent = state.hash ?? '–';
    const time = state.phases.reduce((a, b) => a + b, 0);
    const samples = (state.steps / state.stepsAnEpoch) * images.training;
    at('speed').textContent = time > 0 && state.steps ? Math.round((1000 * samples) / time).toLocaleString('en') : '–';
    at('start').textContent = state.running ? 'Pause' : state.steps === 0 ? 'Start' : state.done ? 'Again' : 'Go on';
    document.body.dataset.state = state.running ? 'running' : state.done ? 'done' : 'waiting';
    curve.draw(state.stepsAnEpoch);
    pebbles.draw(state.batch, state.phases, state.steps);
}

function frame(now) {
    if (stale) show();
    stale = false;
    const share = Math.min(1, (now - shown) / SWEEP);
    const slow = at('pace-slow').checked;
    // In slow motion once through each step; else round and round while it trains.
    if (slow || !state.running) pebbles.mark(state.steps > 0 && now - shown <= SWEEP ? share : null);
    else pebbles.mark((now % SWEEP) / SWEEP);
    requestAnimationFrame(frame);
}

const receive = {
    ready(message) {
        images = message.images;
        at('engine').textContent = `Engine: ${message.engine}; ${images.training} images to learn from, ${images.test} for the test.`;
        for (const id of ['start', 'one', 'reset', 'lr', 'batch', 'epochs']) at(id).disabled = false;
        document.querySelector('.pace').disabled = false;
        document.body.dataset.engine = message.engine;
        if (!drawing.isEmpty) ask();
    },
    state(message) {
        if (message.training !== state.training) curve.clear(message.stepsInAll);
        if (message.steps !== state.steps) shown = performance.now();
        curve.add(message.losses, message.epochs);
        state = message;
        stale = true;
        if (!drawing.isEmpty) ask();
    },
    prediction({ probabilities }) {
        const best = probabilities.indexOf(Math.max(...probabilities));
        bars.forEach((bar, digit) => {
            bar.style.setProperty('--share', probabilities[digit]);
            bar.querySelector('b').textContent = `${Math.round(100 * probabilities[digit])} %`;
            bar.classList.toggle('best', digit === best);
        });
        at('verdict').textContent = `Taken for a ${best}.`;
    },
    error({ message }) {
        at('error').textContent = message;
        at('error').hidden = false;
    },
};
worker.onmessage = ({ data }) => receive[data.kind](data);
worker.onerror = (event) => receive.error({ message: event.message ?? 'The worker could not be started.' });

const bars = Array.from({ length: 10 }, (_, digit) => {
    const bar = document.createElement('li');
    bar.innerHTML = `<i>${digit}</i><span></span><b></b>`;
    at('bars').append(bar);
    return bar;
});
let pixels = null;
const drawing = new Drawing(at('drawing'), (drawn) => {
    pixels = drawn;
    ask();
});
const ask = () => worker.postMessage({ kind: 'predict', pixels });

at('clear').onclick = () => {
    drawing.clear();
    pixels = null;
    at('verdict').textContent = 'What the network makes of it, also while it learns.';
    for (const bar of bars) {
        bar.style.setProperty('--share', 0);
        bar.querySelector('b').textContent = '';
        bar.classList.remove('best');
    }
};
at('start').onclick = () => worker.postMessage({ kind: state.running ? 'pause' : 'start' });
at('one').onclick = () => worker.postMessage({ kind: 'one' });
const reset = () => worker.postMessage({ kind: 'reset', settings: settings() });
at('reset').onclick = reset;
at('batch').onchange = reset;
at('epochs').onchange = reset;
at('lr').oninput = () => {
    at('lr-value').textContent = rate();
    worker.postMessage({ kind: 'lr', value: rate() });
};
for (const input of document.querySelectorAll('[name=pace]')) {
    input.id = `pace-${input.value}`;
    input.onchange = () => worker.postMessage({ kind: 'pace', value: input.value });
}
addEventListener('resize', () => (stale = true));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (stale = true));
requestAnimationFrame(frame);
