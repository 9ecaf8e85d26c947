//! Blocks of a network: what each keeps of a sample for the backward pass, and the most that a backward pass
//! holds at once.

/// Layers whose inputs are kept: those of frozen layers are not read again.
#[derive(Debug, Clone, Copy)]
pub enum Kept<'a> {
    /// Every layer is trained.
    All,
    /// Layers with an adapter.
    Adapter {
        /// The adapter's rank.
        rank: usize,
        /// Ends of the adapted modules' names.
        targets: &'a [String],
    },
}

impl Kept<'_> {
    /// 1 if the layer whose name ends so keeps its input, else 0.
    pub fn input(self, end: &str) -> f64 {
        match self {
            Kept::All => 1.0,
            Kept::Adapter { targets, .. } => {
                let dotted = format!(".{end}");
                let names = |target: &String| target == end || target.ends_with(&dotted);
                f64::from(u8::from(targets.iter().any(names)))
            }
        }
    }

    /// Values per position of an adapter's hidden state in the layer whose name ends so.
    pub fn hidden(self, end: &str) -> f64 {
        match self {
            Kept::All => 0.0,
            Kept::Adapter { rank, .. } => rank as f64 * self.input(end),
        }
    }
}

/// A block of a network's forward pass. Values are of one sample.
#[derive(Debug, Clone, Copy, Default)]
pub struct Block {
    /// Values kept inside of it; with checkpointing they are computed again.
    pub inner: f64,
    /// Values of its output, and others that are kept in any case.
    pub output: f64,
    /// Values of the cotangents that its backward pass holds at once, of one lane.
    pub cotangents: f64,
    /// Values of its output that a later block reads, too.
    pub skip: f64,
    /// Values of an earlier block's output that it reads.
    pub joined: f64,
    /// True once something trainable lies at it or before it.
    pub tracked: bool,
}

/// The most values that a pass of `samples` samples and `lanes` lanes holds at once.
pub fn peak(blocks: &[Block], samples: f64, lanes: f64, checkpointing: bool) -> f64 {
    let kept = |block: &Block| {
        let inner = if checkpointing { 0.0 } else { block.inner };
        match block.tracked {
            true => inner + block.output,
            // Its output is there as long as a later block reads it.
            false => block.skip,
        }
    };
    let mut held: f64 = blocks.iter().map(kept).sum::<f64>() * samples;
    let (mut most, mut waiting) = (held, 0.0);
    for block in blocks.iter().rev().filter(|block| block.tracked) {
        let again = if checkpointing { block.inner * samples } else { 0.0 };
        most = most.max(held + again + lanes * (waiting + block.cotangents));
        held -= kept(block) * samples;
        waiting += block.joined - block.skip;
    }
    most
}

/// The most values of a sample that a pass without a backward pass holds at once.
pub fn inference(blocks: &[Block]) -> f64 {
    let (mut most, mut waiting) = (0.0_f64, 0.0);
    for block in blocks {
        // What its backward pass holds of a lane is what its forward pass holds of a sample, about.
        most = most.max(waiting + block.cotangents);
        waiting += block.skip - block.joined;
    }
    most
}

/// A residual block: normalisation, convolution, twice.
pub fn resnet(positions: f64, inputs: f64, outputs: f64, joined: f64, kept: Kept<'_>) -> Block {
    let (conv1, conv2) = (kept.input("conv1"), kept.input("conv2"));
    let hidden = kept.hidden("conv1") + kept.hidden("conv2");
    let side_by_side = if joined > 0.0 { inputs } else { 0.0 };
    // At the first normalisation: its result, what it is made of, and beside them what came back by the
    // shortcut, if that is a layer, or the output's.
    let shortcut = if inputs == outputs { 0.0 } else { inputs };
    Block {
        inner: positions * (side_by_side + outputs + conv1 * inputs + conv2 * outputs + hidden),
        output: positions * outputs,
        cotangents: positions * (2.0 * inputs + outputs + shortcut),
        joined,
        ..Block::default()
    }
}

/// A transformer block over `positions` tokens of `width`, and `text` tokens.
pub fn transformer(positions: f64, width: f64, text: f64, kept: Kept<'_>) -> Block {
    let [q, k, v] = ["to_q", "to_k", "to_v"].map(|end| kept.input(end));
    let [hq, hk, hv, ho] = ["to_q", "to_k", "to_v", "to_out.0"].map(|end| kept.hidden(end));
    let (wide, narrow) = ("ff.net.0.proj", "ff.net.2");
    // Queries, keys, values, results and sums of the first attention; of the second, keys and values are of
    // the text.
    let first = q.max(k).max(v) + 3.0 + 1.0 + 1.0;
    let second = q + 1.0 + 1.0 + 1.0;
    let feed_forward = kept.input(wide) + 8.0 + 4.0 * kept.input(narrow);
    let hidden = 2.0 * hq + hk + hv + 2.0 * ho + kept.hidden(wide) + kept.hidden(narrow);
    Block {
        inner: positions * (width * (first + second + feed_forward) + hidden)
            + text * (2.0 * width + hk + hv),
        output: positions * width,
        cotangents: positions * width * 13.0,
        ..Block::default()
    }
}

/// A layer that keeps its input (`before` values) where it is trained.
pub fn layer(before: f64, after: f64, keeps_input: f64) -> Block {
    Block { output: after + keeps_input * before, cotangents: before + after, ..Block::default() }
}
