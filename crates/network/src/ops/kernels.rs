//! How a kernel becomes an operation of burn that is differentiable on the CPU.
//!
//! An [`Operation`] computes on the CPU backend's own tensors. [`apply`] brings it into burn through
//! one extension of its backends, which records the operation where gradients are wanted.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{DType, Shape, Tensor, TensorData};
use medparse_kernels::{AlignedVec, Cpu, Isa, Threads};

/// An operation on tensors of the CPU, with its gradients.
pub(super) trait Operation: Debug + Send + Sync + 'static {
    /// The result, and what the gradients need to know.
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved);

    /// The gradients of those inputs that `wanted` names, from the gradient of the result.
    fn backward(
        &self,
        saved: &Saved,
        slope: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>>;
}

type Shared = Arc<dyn Operation>;

/// What an operation keeps for its gradients.
#[derive(Debug, Clone, Default)]
pub(super) struct Saved {
    /// Inputs, or what was made of them.
    pub tensors: Vec<FlexTensor>,
    /// Whatever else.
    pub values: Arc<Vec<f32>>,
}

impl Saved {
    /// Tensors alone.
    pub fn tensors<const N: usize>(tensors: [FlexTensor; N]) -> Self {
        Self { tensors: tensors.into(), values: Arc::default() }
    }
}

/// True where [`apply`] can compute with a tensor: 32-bit floats on the CPU backend.
pub(super) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device();
    let on_cpu = match device.as_dispatch() {
        DispatchDevice::Autodiff(device) => {
            matches!(device.clone().inner(), DispatchDevice::Flex(_))
        }
        device => matches!(device, DispatchDevice::Flex(_)),
    };
    on_cpu && x.dtype() == DType::F32
}

/// Any tensor as an input of [`apply`].
pub(super) fn input<const D: usize>(x: Tensor<D>) -> FloatTensor<Dispatch> {
    x.into_dispatch()
}

/// Runs an operation on tensors that it [`serves`], at most four.
pub(super) fn apply<const D: usize>(
    operation: impl Operation,
    inputs: Vec<FloatTensor<Dispatch>>,
) -> Tensor<D> {
    let operation: Shared = Arc::new(operation);
    let mut inputs = inputs.into_iter();
    let inputs: [_; 4] = std::array::from_fn(|_| inputs.next());
    Tensor::from_dispatch(match inputs {
        [Some(a), None, ..] => Dispatch::of_one(operation, a),
        [Some(a), Some(b), None, _] => Dispatch::of_two(operation, a, b),
        [Some(a), Some(b), Some(c), None] => Dispatch::of_three(operation, a, b, c),
        [Some(a), Some(b), Some(c), Some(d)] => Dispatch::of_four(operation, a, b, c, d),
        [None, ..] => unreachable!("an operation has an input"),
    })
}

/// burn's backends, extended by our operations.
#[backend_extension(Autodiff, Flex)]
pub(super) trait Kernels: Backend {
    fn of_one(operation: Shared, a: FloatTensor<Self>) -> FloatTensor<Self>;

    fn of_two(operation: Shared, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    fn of_three(
        operation: Shared,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn of_four(
        operation: Shared,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl Kernels for Flex {
    fn of_one(operation: Shared, a: FlexTensor) -> FlexTensor {
        operation.forward(&[a]).0
    }

    fn of_two(operation: Shared, a: FlexTensor, b: FlexTensor) -> FlexTensor {
        operation.forward(&[a, b]).0
    }

    fn of_three(operation: Shared, a: FlexTensor, b: FlexTensor, c: FlexTensor) -> FlexTensor {
        operation.forward(&[a, b, c]).0
    }

    fn of_four(
        operation: Shared,
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        d: FlexTensor,
    ) -> FlexTensor {
        operation.forward(&[a, b, c, d]).0
    }
}

type Node = FloatTensor<Autodiff<Flex>>;

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn of_one(operation: Shared, a: Node) -> Node {
        recorded::<C, 1>(operation, [a])
    }

    fn of_two(operation: Shared, a: Node, b: Node) -> Node {
        recorded::<C, 2>(operation, [a, b])
    }

    fn of_three(operation: Shared, a: Node, b: Node, c: Node) -> Node {
        recorded::<C, 3>(operation, [a, b, c])
    }

    fn of_four(operation: Shared, a: Node, b: Node, c: Node, d: Node) -> Node {
        recorded::<C, 4>(operation, [a, b, c, d])
    }
}

/// Runs an operation, and records it where a gradient is wanted.
fn recorded<C: CheckpointStrategy, const N: usize>(operation: Shared, inputs: [Node; N]) -> Node {
    let nodes = inputs.each_ref().map(|input| input.node());
    let primitives = inputs.map(|input| input.into_primitive());
    match Recorded::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (result, saved) = operation.forward(&primitives);
            prepared.finish((operation, saved), result)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(operation.forward(&primitives).0),
    }
}

/// An operation of `N` inputs in the graph.
#[derive(Debug)]
struct Recorded<const N: usize>;

impl<const N: usize> Backward<Flex, N> for Recorded<N> {
    type State = (Shared, Saved);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (operation, saved) = ops.state;
        let slope = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = operation.backward(&saved, slope, &wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The kernels run on the threads that the process shares, as burn does.
pub(super) fn cpu() -> Cpu {
    Cpu::new(Isa::chosen(), Threads::SHARED)
}

/// The values of a contiguous tensor.
pub(super) fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("a contiguous tensor of 32-bit floats")
}

/// Its sizes.
pub(super) fn sizes<const D: usize>(x: &FlexTensor) -> [usize; D] {
    let shape = x.layout().shape();
    std::array::from_fn(|axis| shape[axis])
}

/// A tensor of these values.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Lends scratch space; what it holds is left over from whoever had it before.
pub(super) fn with_scratch<R>(len: usize, run: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SPACE: RefCell<AlignedVec<f32>> = RefCell::new(AlignedVec::zeroed(0));
    }
    // Taken rather than borrowed: a thread that waits may be given another operation to run.
    let mut space = SPACE.with(|space| space.replace(AlignedVec::zeroed(0)));
    if space.len() < len {
        space = AlignedVec::zeroed(len);
    }
    let result = run(&mut space[..len]);
    SPACE.with(|kept| kept.replace(space));
    result
}
