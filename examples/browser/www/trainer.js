// The module's other side: numbers and memory in, plain values out. Used by the page's worker and by the
// tests in Node.js alike.

/** Phases of a step, as the module numbers them. */
export const PHASES = ['F1', 'F2', 'F3', 'loss', 'B3', 'B2', 'B1', 'step'];
/** Values between the layers. */
export const WIDTHS = [64, 128, 64, 10];
/** What `trine train` trains with. */
export const DEFAULTS = { batch: 64, epochs: 40, lr: 0.004, seed: 1 };

/** Text of a file that may be compressed. */
export async function unpacked(bytes) {
    if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

export class Trainer {
    #wasm;

    /** From the bytes of the module and of the (compressed) file of digits. */
    static async load(module, digits) {
        const now = () => performance.now();
        const { instance } = await WebAssembly.instantiate(module, { env: { now } });
        const trainer = new Trainer(instance.exports);
        const text = await unpacked(digits);
        if (text.length > instance.exports.shared_len()) throw new Error('the digits are too many');
        new Uint8Array(instance.exports.memory.buffer).set(text, instance.exports.shared());
        trainer.#check(instance.exports.load(text.length));
        return trainer;
    }

    constructor(wasm) {
        this.#wasm = wasm;
    }

    /** The module's message of that length. */
    #text(length) {
        const { memory, shared } = this.#wasm;
        return new TextDecoder().decode(new Uint8Array(memory.buffer, shared(), length));
    }

    #check(length) {
        if (length > 0) throw new Error(this.#text(length));
    }

    get engine() {
        return this.#text(this.#wasm.engine());
    }

    start({ batch, epochs, lr, seed } = DEFAULTS) {
        this.#check(this.#wasm.start(batch, epochs, lr, BigInt(seed)));
    }

    step() {
        this.#check(this.#wasm.step());
    }

    setLearningRate(lr) {
        this.#check(this.#wasm.set_learning_rate(lr));
    }

    get done() {
        return this.#wasm.steps() >= this.#wasm.steps_in_all();
    }

    get steps() {
        return this.#wasm.steps();
    }

    get stepsInAll() {
        return this.#wasm.steps_in_all();
    }

    get stepsAnEpoch() {
        return this.#wasm.steps_an_epoch();
    }

    get batch() {
        return this.#wasm.batch();
    }

    get batchLoss() {
        return this.#wasm.batch_loss();
    }

    get epochLoss() {
        return this.#wasm.epoch_loss();
    }

    get images() {
        return { training: this.#wasm.training_images(), test: this.#wasm.test_images() };
    }

    /** Images of the test that are recognised now. */
    correct() {
        return this.#wasm.correct();
    }

    /** The hash of the weights, as `trine train` prints it. */
    hash() {
        return BigInt.asUintN(64, this.#wasm.weights_hash()).toString(16).padStart(16, '0');
    }

    /** Milliseconds in each phase since the start. */
    phases() {
        return PHASES.map((_, i) => this.#wasm.phase(i));
    }

    get peakBytes() {
        return this.#wasm.peak_bytes();
    }

    /** Ten probabilities for 64 pixels from 0 to 1. */
    predict(pixels) {
        const { memory, drawing, predict } = this.#wasm;
        new Float32Array(memory.buffer, drawing(), 64).set(pixels);
        return Array.from(new Float32Array(memory.buffer, predict(), 10));
    }

    /** A layer for `runLayer`. */
    setLayer(n, d, m) {
        this.#check(this.#wasm.layer(n, d, m));
    }

    /** That many times forward (0), ∇X (1), or ∇W and ∇b (2), by the engine or the naive loops. */
    runLayer(op, naive, times) {
        this.#check(this.#wasm.layer_run(op, naive ? 1 : 0, times));
    }

    /** Fails unless the engine has the reference's bits and the naive loops its values. */
    checkLayer() {
        this.#check(this.#wasm.layer_check());
    }
}
