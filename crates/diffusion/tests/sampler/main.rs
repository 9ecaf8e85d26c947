//! Samplers against diffusers' schedulers, and pictures against its pipeline. The golden values are made by
//! reference/sampler_golden.py.

mod pictures;
mod trajectories;
