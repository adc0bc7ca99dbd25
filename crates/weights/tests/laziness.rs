//! Opening reads names, and reading one tensor reads that one: the operating system's own counters say so.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;

use common::folder;
use medparse_weights::{
    Checkpoint, FloatType, TensorSource, WeightsError, write_safetensors, write_torch,
};

/// A number of `/proc/self/FILE`.
fn counter(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

// One test, since the counters are the whole process's.
#[test]
fn dead_tensors_are_never_read() {
    const COUNT: usize = 64;
    const LENGTH: usize = 1 << 18; // 1 MiB each
    let folder = folder();
    let (torch, safe) = (folder.path().join("x.pt"), folder.path().join("x.safetensors"));
    let tensors: Vec<_> = (0..COUNT)
        .map(|i| {
            TensorSource::lazy(format!("layer.{i}.weight"), [LENGTH], FloatType::F32, move || {
                Ok::<_, WeightsError>(vec![i as f32; LENGTH])
            })
        })
        .collect();
    write_torch(&torch, &tensors, &mut |_| {}).unwrap();
    write_safetensors(&safe, &tensors, &BTreeMap::new(), &mut |_| {}).unwrap();

    let before = counter("io", "rchar:");
    let checkpoint = Checkpoint::open(&torch).unwrap();
    let opening = counter("io", "rchar:") - before;
    let values = checkpoint.require("layer.40.weight").unwrap().read_f32().unwrap();
    let reading = counter("io", "rchar:") - before - opening;
    assert!(values.len() == LENGTH && values.iter().all(|&value| value == 40.0));
    // 66 directory entries and local headers, each through an 8 KiB buffer, three times over.
    assert!(opening < 3 << 20, "opening 64 MiB of tensors read {opening} bytes");
    assert!((1 << 20..(1 << 20) + 65_536).contains(&reading), "reading 1 MiB read {reading} bytes");

    let before = counter("status", "RssFile:");
    let checkpoint = Checkpoint::open(&safe).unwrap();
    let values = checkpoint.require("layer.40.weight").unwrap().read_f32().unwrap();
    assert!(values.len() == LENGTH && values.iter().all(|&value| value == 40.0));
    let touched = counter("status", "RssFile:") - before;
    assert!(touched < 4096, "reading 1 MiB of a map of 64 MiB touched {touched} KiB");
}
