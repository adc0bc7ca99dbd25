//! From a checkpoint's tensors to weights as the kernels read them.

use std::sync::Arc;

use half::bf16;
use medparse_config::Mismatch;
use medparse_kernels::conv::{Conv, Winograd};
use medparse_kernels::depthwise::pack_depthwise;
use medparse_kernels::gemm::{Element, Float, Panels, pack_bf16, pack_f32, pack_int8};
use medparse_kernels::{Cpu, Matrix};
use medparse_weights::{Checkpoint, ElementType, WeightsError};

use crate::linear::{Linear, Packed};
use crate::precision::Precision;
use crate::stored::{Number, Stored, Vector};

/// Columns of a panel, and channels of a block of depthwise weights.
const PANEL: usize = 32;
const LANES: usize = 16;

/// Answers the values of a key and shape of the checkpoint, in C order.
pub(crate) type Values<'a, E> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>, E> + 'a;

/// Where weights come from.
pub(crate) enum Origin<'a, E> {
    /// Tensors as the reference stores them, to be packed.
    Values(&'a mut Values<'a, E>),
    /// Tensors that an engine has packed before.
    Packed(&'a Checkpoint),
}

/// Makes the weights of the plan's parts, and remembers all it made.
pub(crate) struct Loader<'a, E> {
    pub origin: Origin<'a, E>,
    pub cpu: Cpu,
    pub stored: Vec<Arc<Stored>>,
    pub lacks: Lacks,
}

/// What a packed file does not give.
#[derive(Default)]
pub(crate) struct Lacks {
    pub mismatch: Mismatch,
    /// Why the last of the tensors that can't be read can't be.
    pub unreadable: Option<WeightsError>,
}

/// A tensor of the checkpoint; none where the weights come packed.
pub(crate) type Raw = Option<Vec<f32>>;

impl<E> Loader<'_, E> {
    /// The values of a tensor, to be packed.
    pub fn raw(&mut self, key: &str, shape: &[usize]) -> Result<Raw, E> {
        match &mut self.origin {
            Origin::Values(values) => values(key, shape).map(Some),
            Origin::Packed(_) => Ok(None),
        }
    }

    /// A tensor that is read as it is.
    pub fn vector(&mut self, key: &str, shape: &[usize]) -> Result<Vector, E> {
        let raw = self.raw(key, shape)?;
        Ok(self.part_of(key, raw.as_deref(), shape))
    }

    /// A part of a tensor that is read as it is, under a name of its own.
    pub fn part_of(&mut self, name: &str, values: Option<&[f32]>, shape: &[usize]) -> Vector {
        let len = shape.iter().product();
        let copy = |values: &[f32], to: &mut [f32]| to[..len].copy_from_slice(values);
        Vector::new(self.keep(name, whole_lines(shape), values, copy), len)
    }

    /// A linear map with a bias: weight `[output, input]`.
    pub fn linear(
        &mut self,
        key: &str,
        [output, input]: [usize; 2],
        precision: Precision,
    ) -> Result<Linear, E> {
        let weight = self.raw(&format!("{key}.weight"), &[output, input])?;
        let bias = self.vector(&format!("{key}.bias"), &[output])?;
        let map = self.linear_of(key, weight, [output, input], precision);
        Ok(Linear { bias: Some(bias), ..map })
    }

    /// A convolution of single pixels with a bias: weight `[output, input, 1, 1]`.
    pub fn pointwise(
        &mut self,
        key: &str,
        [output, input]: [usize; 2],
        precision: Precision,
    ) -> Result<Linear, E> {
        let bias = self.vector(&format!("{key}.bias"), &[output])?;
        let map = self.pointwise_without_bias(key, [output, input], precision)?;
        Ok(Linear { bias: Some(bias), ..map })
    }

    /// A convolution of single pixels without a bias.
    pub fn pointwise_without_bias(
        &mut self,
        key: &str,
        [output, input]: [usize; 2],
        precision: Precision,
    ) -> Result<Linear, E> {
        let weight = self.raw(&format!("{key}.weight"), &[output, input, 1, 1])?;
        Ok(self.linear_of(key, weight, [output, input], precision))
    }

    /// A map `x W` into the space of the phrases: weight `[input, output]`. It decides which query
    /// speaks, and for what, and so is always exact.
    pub fn projection(&mut self, key: &str, [input, output]: [usize; 2]) -> Result<Linear, E> {
        let raw = self.raw(key, &[input, output])?;
        let matrix = raw.as_deref().map(|raw| Matrix::row_major(raw, input, output));
        let packed = self.panels(key, matrix, [input, output], Precision::F32);
        Ok(Linear { packed, bias: None })
    }

    fn linear_of(
        &mut self,
        key: &str,
        weight: Raw,
        [output, input]: [usize; 2],
        precision: Precision,
    ) -> Linear {
        let weight = weight.as_deref().map(|w| Matrix::row_major(w, output, input).transposed());
        let packed = self.panels(&format!("{key}.weight"), weight, [input, output], precision);
        Linear { packed, bias: None }
    }

    /// Packs a matrix `[depth, columns]`.
    pub fn panels(
        &mut self,
        name: &str,
        matrix: Option<Matrix<'_>>,
        [depth, columns]: [usize; 2],
        precision: Precision,
    ) -> Packed {
        let cpu = &self.cpu.clone();
        let [panels, scales, offsets] =
            ["panels", "scales", "offsets"].map(|part| format!("{name}.{part}"));
        let shape = [depth, columns];
        match precision {
            Precision::F32 => {
                let shape = panels_shape::<f32>(shape);
                let panels =
                    self.keep(&panels, shape, matrix, |matrix, to| pack_f32(cpu, matrix, to));
                Packed::F32 { depth, columns, panels }
            }
            Precision::Bf16 => {
                let shape = panels_shape::<bf16>(shape);
                let panels =
                    self.keep(&panels, shape, matrix, |matrix, to| pack_bf16(cpu, matrix, to));
                Packed::Bf16 { depth, columns, panels }
            }
            Precision::Int8 => {
                let (mut factors, mut sums) =
                    (vec![0f32; columns], vec![0i32; columns.next_multiple_of(PANEL)]);
                let shape = panels_shape::<i8>(shape);
                let panels = self.keep(&panels, shape, matrix, |matrix, to| {
                    pack_int8(cpu, matrix, to, &mut factors, &mut sums);
                });
                let made = matrix.is_some();
                let (factors, sums) = (made.then_some(&*factors), made.then_some(&*sums));
                let scales = self.part_of(&scales, factors, &[columns]);
                let shape = vec![columns.next_multiple_of(PANEL)];
                let copy = |from: &[i32], to: &mut [i32]| to.copy_from_slice(from);
                let offsets = self.keep(&offsets, shape, sums, copy);
                Packed::Int8 { depth, columns, panels, scales, offsets }
            }
        }
    }

    /// The weights of a convolution as a matrix `[kernel * kernel * in_channels, out_channels]`.
    pub fn convolution(
        &mut self,
        key: &str,
        conv: &Conv,
        precision: Precision,
    ) -> Result<Packed, E> {
        let Conv { in_channels, out_channels, kernel, .. } = *conv;
        let raw = self.raw(key, &[out_channels, in_channels, kernel, kernel])?;
        let depth = kernel * kernel * in_channels;
        let reordered = raw.map(|raw| {
            let mut reordered = vec![0.0; raw.len()];
            conv.reorder_weights(&raw, &mut reordered);
            reordered
        });
        let matrix = reordered.as_deref().map(|w| Matrix::row_major(w, depth, out_channels));
        Ok(self.panels(key, matrix, [depth, out_channels], precision))
    }

    /// The weights of a 3×3 convolution, transformed for Winograd's algorithm; answers what it stored.
    pub fn winograd<T: Number + Float>(
        &mut self,
        key: &str,
        conv: &Winograd,
    ) -> Result<Arc<Stored>, E> {
        let (input, output) = (conv.in_channels, conv.out_channels);
        let raw = self.raw(key, &[output, input, 3, 3])?;
        let cpu = &self.cpu.clone();
        let pack = |raw: &[f32], to: &mut [T]| conv.pack(cpu, raw, to);
        let shape = vec![conv.packed_len::<T>()];
        Ok(self.keep(&format!("{key}.winograd"), shape, raw.as_deref(), pack))
    }

    /// The weights `[channels, 1, kernel, kernel]` of a depthwise convolution.
    pub fn depthwise(&mut self, key: &str, channels: usize, kernel: usize) -> Result<Vector, E> {
        let raw = self.raw(key, &[channels, 1, kernel, kernel])?;
        let shape = vec![channels.div_ceil(LANES), kernel * kernel, LANES];
        let pack = |raw: &[f32], to: &mut [f32]| pack_depthwise(raw, channels, kernel, to);
        let len = shape.iter().product();
        let stored = self.keep(&format!("{key}.blocks"), shape, raw.as_deref(), pack);
        Ok(Vector::new(stored, len))
    }

    /// Makes a weight of `from`, or maps it.
    fn keep<T: Number, F>(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        from: Option<F>,
        fill: impl FnOnce(F, &mut [T]),
    ) -> Arc<Stored> {
        let stored = match (&self.origin, from) {
            (Origin::Packed(file), _) => match file.get(name) {
                None => {
                    self.lacks.mismatch.missing.push(name.into());
                    Stored::made::<T>(name.into(), vec![0], |_| ())
                }
                Some(entry) if entry.shape() != shape || entry.element_type() != T::TYPE => {
                    self.lacks.mismatch.misshapen.push((
                        name.into(),
                        shape,
                        entry.shape().to_vec(),
                    ));
                    Stored::made::<T>(name.into(), vec![0], |_| ())
                }
                Some(entry) => Stored::mapped::<T>(entry).unwrap_or_else(|| {
                    // Not aligned, as in a file of another writer: copied.
                    Stored::made::<T>(name.into(), shape, |to| match entry.read_bytes() {
                        Ok(bytes) => bytemuck::cast_slice_mut::<T, u8>(to).copy_from_slice(&bytes),
                        Err(error) => self.lacks.unreadable = Some(error),
                    })
                }),
            },
            (Origin::Values(_), from) => Stored::made(name.into(), shape, |to| {
                if let Some(from) = from {
                    fill(from, to);
                }
            }),
        };
        let stored = Arc::new(stored);
        self.stored.push(stored.clone());
        stored
    }
}

/// The shape, or as many values as fill lines of the cache: what follows in a file is aligned.
fn whole_lines(shape: &[usize]) -> Vec<usize> {
    let len: usize = shape.iter().product();
    if len.is_multiple_of(LANES) { shape.to_vec() } else { vec![len.next_multiple_of(LANES)] }
}

/// `[panels, words, 32, values of a word]`.
fn panels_shape<T: Element + Number>([depth, columns]: [usize; 2]) -> Vec<usize> {
    let shape = vec![columns.div_ceil(PANEL), depth.div_ceil(T::PER_WORD), PANEL, T::PER_WORD];
    debug_assert_eq!(shape.iter().product::<usize>(), Panels::<T>::len(depth, columns));
    debug_assert!(T::TYPE != ElementType::U8);
    shape
}
