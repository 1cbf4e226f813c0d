// The curve of the loss, on a logarithmic axis: every batch thin, the mean of each epoch thick.

const [LEFT, RIGHT, TOP, BOTTOM] = [44, 12, 10, 26];

export class Curve {
    #canvas;
    #losses = [];
    #epochs = [];
    #steps = 1;

    constructor(canvas) {
        this.#canvas = canvas;
    }

    clear(steps) {
        this.#losses = [];
        this.#epochs = [];
        this.#steps = Math.max(1, steps);
    }

    add(losses, epochs) {
        this.#losses.push(...losses);
        this.#epochs.push(...epochs);
    }

    draw(stepsAnEpoch) {
        const canvas = this.#canvas;
        const [width, height] = [canvas.clientWidth, canvas.clientHeight];
        const scale = devicePixelRatio || 1;
        if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
            canvas.width = Math.round(width * scale);
            canvas.height = Math.round(height * scale);
        }
        const c = canvas.getContext('2d');
        c.setTransform(scale, 0, 0, scale, 0, 0);
        c.clearRect(0, 0, width, height);
        const style = getComputedStyle(canvas);
        const colour = (name) => style.getPropertyValue(name).trim();
        const least = Math.max(1e-7, Math.min(0.1, ...this.#epochs.map(({ loss }) => loss), ...this.#losses));
        const [low, high] = [Math.floor(Math.log10(least)), 1];
        const x = (step) => LEFT + (step / this.#steps) * (width - LEFT - RIGHT);
        const y = (loss) => TOP + ((high - Math.log10(Math.max(loss, 1e-7))) / (high - low)) * (height - TOP - BOTTOM);

        c.font = '12px system-ui, sans-serif';
        c.fillStyle = colour('--dim');
        c.strokeStyle = colour('--line');
        c.lineWidth = 1;
        c.textAlign = 'right';
        c.textBaseline = 'middle';
        for (let power = low; power <= high; power++) {
            const at = y(10 ** power);
            c.beginPath();
            c.moveTo(LEFT, at);
            c.lineTo(width - RIGHT, at);
            c.stroke();
            c.fillText(power >= -3 ? String(10 ** power) : `1e${power}`, LEFT - 6, at);
        }
        c.textAlign = 'center';
        c.textBaseline = 'alphabetic';
        const epochs = Math.round(this.#steps / stepsAnEpoch);
        for (let i = 0; i <= 4; i++) {
            const epoch = Math.round((epochs * i) / 4);
            c.textAlign = i === 0 ? 'left' : i === 4 ? 'right' : 'center';
            c.fillText(i === 4 && width > 480 ? `epoch ${epoch}` : String(epoch), x(epoch * stepsAnEpoch), height - 8);
        }

        const line = (points, colourName, thickness) => {
            c.beginPath();
            points.forEach(([a, b], i) => (i ? c.lineTo(a, b) : c.moveTo(a, b)));
            c.strokeStyle = colour(colourName);
            c.lineWidth = thickness;
            c.lineJoin = 'round';
            c.stroke();
        };
        line(this.#losses.map((loss, i) => [x(i + 1), y(loss)]), '--batch', 1);
        line(this.#epochs.map(({ step, loss }) => [x(step), y(loss)]), '--accent', 2.5);
    }
}
