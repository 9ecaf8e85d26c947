//! What one forward and backward pass is given: plain host data, made by the data pipeline or read from a
//! recorded step.

/// One batch, or micro-batch. Images are `[N, height, width, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Samples N.
    pub size: usize,
    /// Latent height.
    pub height: usize,
    /// Latent width.
    pub width: usize,
    /// Latent channels.
    pub channels: usize,
    /// zt, `[N, height, width, channels]`. For an autoencoder the noise that the latents are drawn with,
    /// `[N, h, w, latent channels]`; empty: their mean is taken.
    pub noisy: Vec<f32>,
    /// y, `[N, height, width, channels]`. For an autoencoder the pictures themselves, in pixels.
    pub target: Vec<f32>,
    /// t of every sample.
    pub timesteps: Vec<usize>,
    /// Token ids per text encoder and sample, where the text encoders are trained; there are no embeddings then.
    pub texts: Vec<Vec<Vec<u32>>>,
    /// Text embeddings, `[N, tokens, width]` as one list.
    pub prompt: Vec<f32>,
    /// Tokens per text.
    pub tokens: usize,
    /// SDXL's pooled embedding, `[N, P]`; empty for models without.
    pub pooled: Vec<f32>,
    /// SDXL's size and crop conditions, `[N, 6]`; empty for models without.
    pub time_ids: Vec<f32>,
    /// Per objective its masks, `[N, height, width]`; none for the whole picture.
    pub masks: Vec<Option<Vec<f32>>>,
    /// Weight of every sample's squared errors (min-SNR), 1 elsewhere.
    pub weights: Vec<f64>,
}

impl Batch {
    /// Micro-batches of `size` samples; the last one may be smaller.
    pub fn split(&self, size: usize) -> Vec<Batch> {
        (0..self.size)
            .step_by(size.max(1))
            .map(|from| self.samples(from, (from + size).min(self.size)))
            .collect()
    }

    fn samples(&self, from: usize, to: usize) -> Batch {
        fn part<T: Clone>(list: &[T], of: usize, from: usize, to: usize) -> Vec<T> {
            let each = list.len() / of.max(1);
            list[from * each..to * each].to_vec()
        }
        let of = self.size;
        Batch {
            size: to - from,
            height: self.height,
            width: self.width,
            channels: self.channels,
            noisy: part(&self.noisy, of, from, to),
            target: part(&self.target, of, from, to),
            timesteps: part(&self.timesteps, of, from, to),
            texts: self.texts.iter().map(|texts| part(texts, of, from, to)).collect(),
            prompt: part(&self.prompt, of, from, to),
            tokens: self.tokens,
            pooled: part(&self.pooled, of, from, to),
            time_ids: part(&self.time_ids, of, from, to),
            masks: self.masks.iter().map(|m| m.as_ref().map(|m| part(m, of, from, to))).collect(),
            weights: part(&self.weights, of, from, to),
        }
    }

    /// Whether every input is a finite number; otherwise the name of one that is not and its samples.
    pub fn non_finite(&self) -> Option<(&'static str, Vec<usize>)> {
        let lists: [(&'static str, &[f32]); 5] = [
            ("noisy latents", &self.noisy),
            ("target", &self.target),
            ("text embedding", &self.prompt),
            ("pooled text embedding", &self.pooled),
            ("size conditions", &self.time_ids),
        ];
        lists.iter().find_map(|(name, list)| {
            let each = (list.len() / self.size.max(1)).max(1);
            let bad = |(n, part): (usize, &[f32])| part.iter().any(|v| !v.is_finite()).then_some(n);
            let samples: Vec<usize> = list.chunks(each).enumerate().filter_map(bad).collect();
            (!samples.is_empty()).then_some((*name, samples))
        })
    }
}

/// A small batch with a mask box in the listed samples of each objective.
#[cfg(test)]
pub(crate) fn example(size: usize, side: usize, masks: &[Option<&[usize]>]) -> Batch {
    let values = |count: usize, pace: f32| (0..count).map(|i| (i as f32 * pace).sin()).collect::<Vec<_>>();
    let mask = |samples: &[usize]| {
        let mut mask = vec![0.0; size * side * side];
        for &n in samples {
            for row in side / 2..side {
                mask[(n * side + row) * side + row % side] = 1.0;
            }
        }
        mask
    };
    Batch {
        size,
        height: side,
        width: side,
        channels: 4,
        noisy: values(size * side * side * 4, 0.37),
        target: values(size * side * side * 4, 1.13),
        timesteps: (0..size).map(|n| 10 + 100 * n).collect(),
        texts: Vec::new(),
        prompt: values(size * 3 * 8, 0.61),
        tokens: 3,
        pooled: values(size * 4, 0.23),
        time_ids: vec![8.0; size * 6],
        masks: masks.iter().map(|m| m.map(mask)).collect(),
        weights: vec![1.0; size],
    }
}
