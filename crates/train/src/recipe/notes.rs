//! Settings of a recipe that may not do what they seem to.

use fairhuman_fairness::Weighting;
use fairhuman_fairness::weighting::Normalise;

use super::Recipe;
use crate::aggregate::Rule;
use crate::objective::Objective;
use crate::rate::Decay;

/// A rate that is this many times a method's usual one teaches nothing but noise.
const FAR_ABOVE: f64 = 100.0;
/// One that is so many times smaller changes nothing that can be seen.
const FAR_BELOW: f64 = 1000.0;
/// More weight decay pulls values to zero within a run.
const DECAY: f64 = 1.0;
/// A larger share of captions that are left out leaves little to learn them by.
const DROPOUT: f32 = 0.5;

impl Recipe {
    /// Notes for a person about settings that may not do what they seem to.
    pub fn notes(&self) -> Vec<String> {
        self.notes_until(self.steps)
    }

    /// The same for a run that goes on to step `last`, where that is beyond the recipe's own last step.
    pub fn notes_until(&self, last: u64) -> Vec<String> {
        [self.of_scales(), self.of_rates(), self.of_end(last.max(self.steps))].concat()
    }

    /// Steps that come after the end of a decay.
    fn of_end(&self, last: u64) -> Vec<String> {
        let end = self.schedule.decay_steps;
        let is_still = self.schedule.decay != Decay::Constant && end < last;
        let note = || {
            format!(
                "schedule.decay_steps: the rate is 0 after step {end}: what comes after it, up to step {last}, changes nothing"
            )
        };
        is_still.then(note).into_iter().collect()
    }

    /// Scales that alpha-fair weights turn around.
    fn of_scales(&self) -> Vec<String> {
        let Rule::Gram(Weighting::AlphaFair(method)) = &self.weighting.rule else {
            return Vec::new();
        };
        if method.alpha <= 1.0 || method.normalise == Normalise::Gradient {
            return Vec::new();
        }
        let usual = |o: &Objective| if o.mask.is_some() { self.method.region_scale() } else { 1.0 };
        let scaled = self.objective.iter().filter(|o| o.scale != usual(o));
        let note = |o: &Objective| {
            let (name, alpha) = (&o.name, method.alpha);
            let (direction, effect) =
                if o.scale > usual(o) { ("larger", "less") } else { ("smaller", "more") };
            format!(
                "objective {name:?}: under alpha-fair weights with alpha = {alpha} a {direction} scale serves an objective {effect}. \
                 weighting.priority = {{ {name} = 2 }} serves it more, and weighting.normalise = \"gradient\" leaves scales out"
            )
        };
        scaled.map(note).collect()
    }

    /// Numbers that are fine by themselves, and far from every use.
    fn of_rates(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (rate, usual) = (self.optimizer.learning_rate, self.method.learning_rate());
        let method = self.method.name();
        if rate > FAR_ABOVE * usual {
            notes.push(format!(
                "optimizer.learning_rate: {rate} is {:.0} times what \"{method}\" begins with, {usual}: the model will most \
                 likely be destroyed",
                rate / usual
            ));
        } else if FAR_BELOW * rate < usual {
            notes.push(format!(
                "optimizer.learning_rate: with {rate} next to nothing is learnt; \"{method}\" begins with {usual}"
            ));
        }
        let decay = self.optimizer.weight_decay;
        if decay > DECAY {
            notes.push(format!(
                "optimizer.weight_decay: {decay} pulls all trained values to 0; usual is 0.01"
            ));
        }
        if self.schedule.warmup >= self.steps {
            notes.push(format!(
                "schedule.warmup: the rate rises for {} steps, and there are {} in all: it never gets to {rate}",
                self.schedule.warmup, self.steps
            ));
        }
        let dropout = self.dataset.captions.dropout;
        if dropout > DROPOUT {
            notes.push(format!(
                "dataset.captions.dropout: {dropout} of all captions are left out; usual is 0.1"
            ));
        }
        notes
    }
}
