//! What a page or Node.js calls: functions of numbers, and addresses of memory in which the rest lies
//! (`www/trainer.js` is the other side). No standard library, no allocator: all memory is static, and
//! the module is what it links.
#![no_std]
#![cfg(target_arch = "wasm32")]

mod clock;
mod digits;
mod single;
mod speed;
mod train;

use core::fmt::Write;
use core::panic::PanicInfo;

use digits::{CLASSES, Digits, PIXELS};
use single::Single;
use speed::Layer;
use train::Trainer;
use trine_core::Error;

/// Bytes of text that can be handed in or out: the file of digits has 265 thousand.
const TEXT: usize = 1 << 19;

static SHARED: Single<[u8; TEXT]> = Single::new([0; TEXT]);
static DIGITS: Single<Digits> = Single::new(Digits::EMPTY);
static TRAINER: Single<Trainer> = Single::new(Trainer::EMPTY);
static LAYER: Single<Layer> = Single::new(Layer::EMPTY);
static DRAWING: Single<[f32; PIXELS]> = Single::new([0.0; PIXELS]);
static PROBABILITIES: Single<[f32; CLASSES]> = Single::new([0.0; CLASSES]);

/// Nothing here panics on purpose; if it does, the module traps, which JavaScript sees as an exception.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Text into the shared memory; returns its length.
struct Text<'t> {
    to: &'t mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let end = self.len + s.len();
        let to = self.to.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

fn say(message: impl core::fmt::Display) -> usize {
    SHARED.with(|to| {
        let mut text = Text { to, len: 0 };
        // What does not fit is cut off.
        let _ = write!(text, "{message}");
        text.len
    })
}

/// 0 if it worked, else the length of a message in the shared memory.
fn done(result: Result<(), Error>) -> usize {
    match result {
        Ok(()) => 0,
        Err(error) => say(error),
    }
}

macro_rules! exports {
    ($($(#[doc = $doc:literal])+ fn $name:ident($($arg:ident: $t:ty),*) $(-> $out:ty)? $body:block)*) => {
        $($(#[doc = $doc])+
        // SAFETY: the only symbol of this name, and of no library's.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($arg: $t),*) $(-> $out)? $body)*
    };
}

exports! {
    /// Where text is handed in and out.
    fn shared() -> *mut u8 {
        SHARED.address().cast()
    }

    /// How much of it.
    fn shared_len() -> usize {
        TEXT
    }

    /// Reads the digits from that many bytes of shared memory: lines of 64 pixels (0 to 16) and a label.
    /// 0, or the length of a message.
    fn load(len: usize) -> usize {
        let read = SHARED.with(|text| {
            DIGITS.with(|digits| digits.read(text.get(..len).unwrap_or_default()))
        });
        match read {
            Ok(()) => 0,
            Err(why) => say(why),
        }
    }

    /// Starts anew from the seed. 0, or the length of a message.
    fn start(batch: usize, epochs: usize, lr: f64, seed: u64) -> usize {
        done(DIGITS.with(|digits| TRAINER.with(|trainer| trainer.start(digits, batch, epochs, lr, seed))))
    }

    /// One step. 0, or the length of a message; nothing where the training is over.
    fn step() -> usize {
        done(DIGITS.with(|digits| TRAINER.with(|trainer| trainer.step(digits))))
    }

    /// Loss of the last batch.
    fn batch_loss() -> f32 {
        TRAINER.with(|trainer| trainer.batch_loss())
    }

    /// Mean loss of the last whole epoch.
    fn epoch_loss() -> f32 {
        TRAINER.with(|trainer| trainer.epoch_loss())
    }

    /// Steps so far.
    fn steps() -> usize {
        TRAINER.with(|trainer| trainer.steps().0)
    }

    /// Steps of the whole training.
    fn steps_in_all() -> usize {
        TRAINER.with(|trainer| trainer.steps().1)
    }

    /// Steps of an epoch.
    fn steps_an_epoch() -> usize {
        TRAINER.with(|trainer| trainer.steps().2)
    }

    /// Images of a batch, except perhaps the last of an epoch.
    fn batch() -> usize {
        TRAINER.with(|trainer| trainer.batch())
    }

    /// Images that are trained on.
    fn training_images() -> usize {
        DIGITS.with(|digits| digits.training())
    }

    /// Images that are kept for the test.
    fn test_images() -> usize {
        DIGITS.with(|digits| digits.test())
    }

    /// From now on another learning rate at the start of the line that falls to 0. 0, or the length of a message.
    fn set_learning_rate(lr: f64) -> usize {
        done(TRAINER.with(|trainer| trainer.set_lr(lr)))
    }

    /// Images of the test that are recognised now.
    fn correct() -> usize {
        DIGITS.with(|digits| TRAINER.with(|trainer| trainer.correct(digits))).unwrap_or(0)
    }

    /// FNV-1a of the parameters.
    fn weights_hash() -> u64 {
        TRAINER.with(|trainer| trainer.hash())
    }

    /// Bytes of activations that were in memory at once, at most.
    fn peak_bytes() -> usize {
        TRAINER.with(|trainer| trainer.peak())
    }

    /// Milliseconds in one phase of the steps so far: forward of layers 1, 2, 3; loss; backward of layers
    /// 3, 2, 1; optimizer.
    fn phase(index: usize) -> f64 {
        TRAINER.with(|trainer| trainer.clock.phases.get(index).copied().unwrap_or(0.0))
    }

    /// Where an image is handed in for [`predict`]: 64 values from 0 to 1.
    fn drawing() -> *mut f32 {
        DRAWING.address().cast()
    }

    /// What the network makes of it: 10 probabilities.
    fn predict() -> *const f32 {
        DRAWING.with(|image| {
            PROBABILITIES.with(|probabilities| {
                if TRAINER.with(|trainer| trainer.predict(image, probabilities)).is_err() {
                    *probabilities = [0.0; CLASSES];
                }
            });
        });
        PROBABILITIES.address().cast()
    }

    /// The instruction set of the engine: the length of its name in the shared memory.
    fn engine() -> usize {
        say(train::isa())
    }

    /// Operands of a layer n×d×m for [`layer_run`]. 0, or the length of a message.
    fn layer(n: usize, d: usize, m: usize) -> usize {
        LAYER.with(|layer| layer.set(n, d, m)).map_or_else(say, |()| 0)
    }

    /// That many times one operation (0 forward, 1 ∇X, 2 ∇W and ∇b), by the engine (0) or the naive loops (1).
    fn layer_run(op: u32, naive: u32, times: usize) -> usize {
        done(LAYER.with(|layer| layer.run(op, naive != 0, times)))
    }

    /// What is wrong with the results of the three operations: the engine's bits are not the reference's,
    /// or the naive loops' values are another's. 0, or the length of a message.
    fn layer_check() -> usize {
        LAYER.with(|layer| layer.check()).map_or_else(say, |()| 0)
    }
}
