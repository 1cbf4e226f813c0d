// The pebble graph of a step, in SVG: which activation is in memory when, and when each gradient is there.
// Times are measured: the mean of all steps so far, before the first one by the operations of each phase.
import { PHASES, WIDTHS } from './trainer.js';

const LAYERS = WIDTHS.length - 1;
const [LEFT, TOP, ROW] = [104, 8, 24];
const SVG = 'http://www.w3.org/2000/svg';

function element(parent, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
}

const bytes = (n) => (n < 10240 ? `${n} bytes` : `${Math.round(n / 1024)} KiB`);

/** Operations of each phase, for want of a measurement; loss and optimizer by their values. */
function operations(batch) {
    const products = WIDTHS.slice(1).map((m, i) => 2 * batch * WIDTHS[i] * m);
    const params = WIDTHS.slice(1).reduce((sum, m, i) => sum + (WIDTHS[i] + 1) * m, 0);
    const forward = products;
    const backward = products.map((work, i) => (i === 0 ? work : 2 * work)).reverse();
    return [...forward, 40 * batch * WIDTHS[LAYERS], ...backward, 12 * params];
}

export class Pebbles {
    #svg;
    #plot;
    #cursor;
    #ends = [];
    #kept = [];
    #width = 0;
    #key = '';

    constructor(svg) {
        this.#svg = svg;
        this.#plot = element(svg, 'g', {});
        this.#cursor = element(svg, 'line', { class: 'cursor' });
    }

    /** Bytes of activations at the peak. */
    static peak(batch) {
        return WIDTHS.reduce((sum, width) => sum + 4 * batch * width, 0);
    }

    /** Draws it for a batch, with the milliseconds of each phase over that many steps. */
    draw(batch, phases, steps) {
        const measured = steps > 0 && phases.some((time) => time > 0);
        const times = measured ? phases.map((time) => time / steps) : operations(batch);
        const sum = times.reduce((a, b) => a + b, 0);
        const width = this.#svg.clientWidth || 640;
        // As often as it would look different.
        const key = [width, batch, measured, ...times.map((time) => Math.round((time / sum) * 400))].join();
        if (key === this.#key) return;
        this.#key = key;
        this.#width = width;
        let at = LEFT;
        const room = width - LEFT - 8;
        this.#ends = times.map((time) => (at += (time / sum) * room));
        this.#plot.replaceChildren();
        this.#work();
        const bottom = this.#activations(batch);
        this.#gradients(bottom);
        this.#memory(batch, bottom + LAYERS * ROW + 8);
        const height = bottom + LAYERS * ROW + 84;
        const total = measured ? `${(sum * 1000).toFixed(0)} µs a step, measured` : 'time by operations, before the first step';
        element(this.#plot, 'text', { x: LEFT, y: height - 4, class: 'small' }, total);
        this.#svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
        this.#svg.setAttribute('height', height);
        for (const [name, value] of Object.entries({ y1: TOP, y2: height - 20 })) this.#cursor.setAttribute(name, value);
    }

    #span(phase) {
        const i = PHASES.indexOf(phase);
        return [i === 0 ? LEFT : this.#ends[i - 1], this.#ends[i]];
    }

    #name(y, text) {
        element(this.#plot, 'text', { x: 0, y, class: 'name' }, text);
    }

    #bar([from, to], y, height, style, text) {
        element(this.#plot, 'rect', { x: from, y, width: Math.max(1, to - from - 1), height, rx: 3, class: style });
        if (text && to - from > 8 * text.length + 4) {
            element(this.#plot, 'text', { x: (from + to) / 2, y: y + height / 2 + 4, class: 'label' }, text);
        }
    }

    #work() {
        this.#name(TOP + 18, 'work');
        for (const phase of PHASES) {
            const style = { F: 'forward', B: 'backward', l: 'loss', s: 'optimizer' }[phase[0]];
            this.#bar(this.#span(phase), TOP, 26, style, phase);
        }
    }

    /** From the forward that computes it to the last backward that needs it. */
    #activations(batch) {
        this.#kept = [];
        WIDTHS.forEach((values, slot) => {
            const y = TOP + 38 + slot * ROW;
            const from = slot === 0 ? LEFT : this.#span(`F${slot}`)[0];
            const to = slot === 0 ? this.#span('B1')[1] : this.#span(`B${slot}`)[1];
            this.#name(y + 13, slot === 0 ? 'input X' : `output Y${slot}`);
            this.#bar([from, to], y, 18, 'kept', `${values} × ${batch} values, ${bytes(4 * values * batch)}`);
            this.#kept.push({ from, to, bytes: 4 * values * batch, bar: this.#plot.querySelectorAll('.kept')[slot] });
        });
        return TOP + 38 + WIDTHS.length * ROW + 4;
    }

    #gradients(top) {
        const end = this.#ends[PHASES.length - 1];
        for (let layer = LAYERS; layer >= 1; layer--) {
            const y = top + (LAYERS - layer) * ROW;
            const [, from] = this.#span(`B${layer}`);
            this.#name(y + 13, `∇W${layer}, ∇b${layer}`);
            this.#bar([from, end], y + 5, 8, 'gradient');
            element(this.#plot, 'path', { d: `M${from - 6} ${y + 2}l12 7l-12 7z`, class: 'there' });
        }
    }

    #memory(batch, top) {
        const height = 44;
        const peak = Pebbles.peak(batch);
        const changes = this.#kept.flatMap(({ from, to, bytes }) => [[from, bytes], [to, -bytes]]);
        changes.sort(([a], [b]) => a - b);
        let held = 0;
        let path = `M${LEFT} ${top + height}`;
        for (const [x, change] of changes) {
            path += `H${x}`;
            held += change;
            path += `V${top + height - (held / peak) * height}`;
        }
        this.#name(top + 18, 'memory');
        element(this.#plot, 'text', { x: 0, y: top + 33, class: 'small' }, `peak ${bytes(peak)}`);
        element(this.#plot, 'path', { d: `${path}H${this.#ends[PHASES.length - 1]}V${top + height}z`, class: 'memory' });
    }

    /** Marks a moment of the step, from 0 to 1, and what is in memory then; nothing without one. */
    mark(share) {
        this.#cursor.style.visibility = share === null ? 'hidden' : 'visible';
        const x = LEFT + (share ?? 0) * (this.#width - LEFT - 8);
        this.#cursor.setAttribute('x1', x);
        this.#cursor.setAttribute('x2', x);
        for (const { from, to, bar } of this.#kept) bar.classList.toggle('held', share !== null && x >= from && x <= to);
        const phase = share === null ? -1 : this.#ends.findIndex((end) => x <= end + 0.5);
        this.#plot.querySelectorAll('.forward, .loss, .backward, .optimizer').forEach((bar, i) => {
            bar.classList.toggle('now', i === phase);
        });
    }
}
