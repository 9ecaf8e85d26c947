//! Where the time goes: a table of operations, filled by the engine's observer.

mod steps;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fairhuman_engine::observe::{Observer, Op, Phase};
use fairhuman_engine::peak::Peak;

pub use steps::StepTimes;

/// Sums per operation and phase.
#[derive(Default)]
pub struct Profile(Mutex<State>);

#[derive(Default)]
struct State {
    started: Option<Instant>,
    rows: BTreeMap<(Phase, &'static str), Row>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    calls: usize,
    seconds: f64,
    flops: f64,
    values: f64,
}

impl Observer for Profile {
    fn begin(&self) {
        self.state().started = Some(Instant::now());
    }

    fn end(&self, phase: Phase, op: Op) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(start) = state.started.take() else { return };
        let row = state.rows.entry((phase, op.name)).or_default();
        row.calls += 1;
        row.seconds += (now - start).as_secs_f64();
        row.flops += op.flops;
        row.values += op.values;
    }
}

impl Profile {
    /// Sums are whole even where a thread has panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was seen so far (warm-up).
    pub fn clear(&self) {
        self.state().rows.clear();
    }

    /// The table per step, slowest first. `steps` were seen, each of `step_seconds`, on a machine of `peak`.
    pub fn table(&self, steps: usize, step_seconds: f64, peak: Option<Peak>) -> String {
        let state = self.state();
        let mut list: Vec<_> = state.rows.iter().collect();
        list.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
        let steps = steps.max(1) as f64;
        let gflops = peak.map_or(f64::NAN, |peak| peak.gflops);
        let peak = peak.map_or("f32 peak not measured".to_owned(), |Peak { gflops, instructions }| {
            format!("f32 peak {gflops:.0} GFLOP/s ({instructions})")
        });
        let mut text = format!(
            "{peak}; a convolution's operations are those of its definition\n\
             {:<9} {:<22} {:>6} {:>9} {:>9} {:>8} {:>7} {:>6}\n",
            "phase", "operation", "calls", "ms", "GFLOP/s", "of peak", "GB/s", "share"
        );
        let of_peak = |flops: f64, seconds: f64| match flops > 0.0 && seconds > 0.0 && gflops > 0.0 {
            true => format!("{:.0}%", 100.0 * flops / seconds / 1e9 / gflops),
            false => String::new(),
        };
        let rate = |amount: f64, seconds: f64| match amount > 0.0 && seconds > 0.0 {
            true => format!("{:.0}", amount / seconds / 1e9),
            false => String::new(),
        };
        let mut known = 0.0;
        for ((phase, name), row) in list {
            let phase = match phase {
                Phase::Forward => "forward",
                Phase::Recompute => "recompute",
                Phase::Backward => "backward",
            };
            let each = row.seconds / steps;
            known += each;
            text.push_str(&format!(
                "{phase:<9} {name:<22} {:>6.0} {:>9.2} {:>9} {:>8} {:>7} {:>5.1}%\n",
                row.calls as f64 / steps,
                each * 1e3,
                rate(row.flops, row.seconds),
                of_peak(row.flops, row.seconds),
                rate(4.0 * row.values, row.seconds),
                100.0 * each / step_seconds,
            ));
        }
        let rest = step_seconds - known;
        text.push_str(&format!(
            "{:<9} {:<22} {:>6} {:>9.2} {:>9} {:>8} {:>7} {:>5.1}%\n",
            "",
            "everything else",
            "",
            rest * 1e3,
            "",
            "",
            "",
            100.0 * rest / step_seconds
        ));
        text
    }
}
