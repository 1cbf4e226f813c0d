// A place to draw a digit, brought to the 8×8 pixels of the training images: cut out, centred, 0 to 1.

const SIDE = 8;
/** Width and height that the longer side of a digit gets: most of those in the data touch top and bottom. */
const FILLED = 7.6;

export class Drawing {
    #canvas;
    #last = null;
    #empty = true;

    /** `changed` is told the 64 pixels after every stroke. */
    constructor(canvas, changed) {
        this.#canvas = canvas;
        canvas.width = canvas.height = 200;
        canvas.addEventListener('pointerdown', (event) => {
            canvas.setPointerCapture(event.pointerId);
            this.#last = this.#place(event);
            this.#line(this.#last);
        });
        canvas.addEventListener('pointermove', (event) => {
            if (this.#last) this.#line(this.#place(event));
        });
        for (const end of ['pointerup', 'pointercancel']) {
            canvas.addEventListener(end, () => {
                if (this.#last) changed(this.pixels());
                this.#last = null;
            });
        }
        this.clear();
    }

    get isEmpty() {
        return this.#empty;
    }

    clear() {
        const c = this.#canvas.getContext('2d', { willReadFrequently: true });
        c.fillStyle = '#fff';
        c.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
        this.#empty = true;
    }

    #place(event) {
        const box = this.#canvas.getBoundingClientRect();
        const scale = this.#canvas.width / box.width;
        return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    }

    #line([x, y]) {
        const c = this.#canvas.getContext('2d', { willReadFrequently: true });
        c.lineWidth = 36;
        c.lineCap = c.lineJoin = 'round';
        c.strokeStyle = '#000';
        c.beginPath();
        c.moveTo(...this.#last);
        c.lineTo(x + 0.01, y);
        c.stroke();
        this.#last = [x, y];
        this.#empty = false;
    }

    /** Darkness of 8×8 squares around what is drawn. */
    pixels() {
        const { width, height } = this.#canvas;
        const data = this.#canvas.getContext('2d', { willReadFrequently: true }).getImageData(0, 0, width, height).data;
        const dark = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : 255 - data[4 * (y * width + x)]);
        let [left, right, top, bottom] = [width, -1, height, -1];
        for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
                if (dark(x, y) > 100) {
                    [left, right] = [Math.min(left, x), Math.max(right, x)];
                    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
                }
            }
        }
        const pixels = new Float32Array(SIDE * SIDE);
        if (right < 0) return pixels;
        const square = Math.max(right - left + 1, bottom - top + 1) / FILLED;
        const [x0, y0] = [(left + right + 1) / 2 - (SIDE / 2) * square, (top + bottom + 1) / 2 - (SIDE / 2) * square];
        const samples = 8;
        for (let i = 0; i < SIDE * SIDE; i++) {
            let sum = 0;
            for (let s = 0; s < samples * samples; s++) {
                const x = x0 + ((i % SIDE) + ((s % samples) + 0.5) / samples) * square;
                const y = y0 + (Math.floor(i / SIDE) + (Math.floor(s / samples) + 0.5) / samples) * square;
                sum += dark(Math.floor(x), Math.floor(y));
            }
            // In steps of 1/16, as the data are.
            pixels[i] = Math.round((sum / (255 * samples * samples)) * 16) / 16;
        }
        return pixels;
    }
}
