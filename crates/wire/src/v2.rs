//! The Open Inference Protocol (KServe V2) over HTTP: <https://github.com/kserve/open-inference-protocol>.

use serde::de::MapAccess;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::{Capped, Found, Kind, Name, Shape, Shaped, Text, parse, skip_value};
use crate::place::Layout;
use crate::rows::{Cells, check_count, check_rows, quoted};
use crate::{Column, ScoreInput, WireError, WireLimits};

const ROWS: usize = WireLimits::DOCUMENTED_ROWS;
const TENSORS: &str = "the tensors \"image\" and \"text\"";

/// A request to infer: its rows, and the id that the reply repeats.
#[derive(Debug, Clone)]
pub struct InferInput<'a> {
    /// The client's id of the request.
    pub id: Option<String>,
    /// The rows.
    pub input: ScoreInput<'a>,
}

/// Reads the body of `POST /v2/models/{name}/infer`: two BYTES tensors, `image` and `text`, of shape `[n]` or
/// `[n, 1]`, their data as JSON strings.
///
/// # Errors
/// The first broken rule, naming tensor and row.
pub fn parse_infer<'a>(body: &'a [u8], limits: &WireLimits) -> Result<InferInput<'a>, WireError> {
    let request: Found<Request<'a>> = parse(body)?;
    let request = request.expect("the body", "a JSON object")?;
    let id = match request.id {
        None | Some(Found::Other(Kind::Null)) => None,
        Some(id) => Some(id.expect("id", "a string")?.0.into_owned()),
    };
    let inputs = match request.inputs {
        Some(inputs) => inputs.expect("inputs", "a list of tensors")?,
        None => return Err(WireError::Missing { path: "inputs".to_owned(), expected: TENSORS }),
    };
    if inputs.total != 2 {
        return Err(WireError::Columns {
            path: "inputs".to_owned(),
            found: format!("{} tensors", inputs.total),
        });
    }
    let (mut image, mut text) = (None, None);
    for (at, Shaped(tensor)) in inputs.kept.into_iter().enumerate() {
        let tensor = tensor.expect(&format!("inputs[{at}]"), "a tensor")?;
        let (column, cells) = tensor.check(at, limits)?;
        let place = if column == Column::Image { &mut image } else { &mut text };
        if place.replace((at, cells)).is_some() {
            return Err(problem(at, format!("repeats the tensor \"{}\"", column.name())));
        }
    }
    let (Some((image_at, image)), Some((text_at, text))) = (image, text) else {
        return Err(WireError::Missing { path: "inputs".to_owned(), expected: TENSORS });
    };
    if image.len() != text.len() {
        let path = format!("inputs[{text_at}].shape");
        return Err(WireError::IndexMismatch { path, index: text.len() as u64, rows: image.len() });
    }
    let rows = image.into_iter().zip(text).map(|(image, text)| Cells { image, text }).collect();
    let input = check_rows(rows, Layout::Tensors { image_at, text_at }, limits)?;
    Ok(InferInput { id, input })
}

#[derive(Default)]
struct Request<'de> {
    id: Option<Found<Text<'de>>>,
    inputs: Option<Found<Capped<Shaped<Found<Tensor<'de>>>, 2>>>,
}

#[derive(Default)]
struct Tensor<'de> {
    name: Option<Found<Text<'de>>>,
    datatype: Option<Found<Text<'de>>>,
    shape: Option<Found<Capped<Shaped<Dimension>, 4>>>,
    data: Option<Found<Capped<&'de RawValue, ROWS>>>,
}

/// One dimension of a shape, if it is a whole number.
struct Dimension(Option<u64>);

impl<'de> Shape<'de> for Dimension {
    fn other(_: Kind) -> Self {
        Self(None)
    }

    fn count(count: u64) -> Self {
        Self(Some(count))
    }
}

impl<'de> Shape<'de> for Found<Request<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut request = Request::default();
        while let Some(Shaped(Name(name))) = object.next_key()? {
            match &*name {
                "id" => request.id = Some(object.next_value::<Shaped<_>>()?.0),
                "inputs" => request.inputs = Some(object.next_value::<Shaped<_>>()?.0),
                _ => skip_value(&mut object)?,
            }
        }
        Ok(Self::Wanted(request))
    }
}

impl<'de> Shape<'de> for Found<Tensor<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut tensor = Tensor::default();
        while let Some(Shaped(Name(name))) = object.next_key()? {
            match &*name {
                "name" => tensor.name = Some(object.next_value::<Shaped<_>>()?.0),
                "datatype" => tensor.datatype = Some(object.next_value::<Shaped<_>>()?.0),
                "shape" => tensor.shape = Some(object.next_value::<Shaped<_>>()?.0),
                "data" => tensor.data = Some(object.next_value::<Shaped<_>>()?.0),
                _ => skip_value(&mut object)?,
            }
        }
        Ok(Self::Wanted(tensor))
    }
}

impl<'de> Tensor<'de> {
    /// The column this tensor is, and its cells.
    fn check(
        self,
        at: usize,
        limits: &WireLimits,
    ) -> Result<(Column, Vec<&'de RawValue>), WireError> {
        let name = required(self.name, at, "name", "\"image\" or \"text\"")?.0;
        let Some(column) = Column::from_name(&name) else {
            return Err(problem(
                at,
                format!("is named {}; expected \"image\" or \"text\"", quoted(&name)),
            ));
        };
        let datatype = required(self.datatype, at, "datatype", "\"BYTES\"")?.0;
        if datatype != "BYTES" {
            return Err(problem(
                at,
                format!("has the datatype {}; expected \"BYTES\"", quoted(&datatype)),
            ));
        }
        let shape = required(self.shape, at, "shape", "[n] or [n, 1]")?;
        let rows = match (&*shape.kept, shape.total) {
            ([Shaped(Dimension(Some(rows)))], 1)
            | ([Shaped(Dimension(Some(rows))), Shaped(Dimension(Some(1)))], 2) => {
                usize::try_from(*rows).unwrap_or(usize::MAX)
            }
            _ => return Err(problem(at, "has another shape than [n] or [n, 1]".to_owned())),
        };
        check_count(rows, limits)?;
        let expected = "a list of strings (binary tensor data is not accepted)";
        let data = required(self.data, at, "data", expected)?;
        if data.total != rows {
            return Err(problem(
                at,
                format!("has a shape of {rows} rows and {} items in its data", data.total),
            ));
        }
        Ok((column, data.kept.into_iter().map(unwrap_single).collect()))
    }
}

fn required<T>(
    value: Option<Found<T>>,
    at: usize,
    key: &str,
    expected: &'static str,
) -> Result<T, WireError> {
    let path = format!("inputs[{at}].{key}");
    match value {
        Some(found) => found.expect(&path, expected),
        None => Err(WireError::Missing { path, expected }),
    }
}

/// The cell of a nested `[n, 1]` tensor, whose rows are lists of one; any other value as it is.
fn unwrap_single(item: &RawValue) -> &RawValue {
    match serde_json::from_str::<[&RawValue; 1]>(item.get()) {
        Ok([cell]) if Kind::of(item) == Kind::List => cell,
        _ => item,
    }
}

fn problem(tensor: usize, problem: String) -> WireError {
    WireError::Tensor { path: format!("inputs[{tensor}]"), problem }
}

/// The reply of `/v2/health/live` and `/v2/health/ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct V2Health {
    /// Whether the server is alive.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live: Option<bool>,
    /// Whether the server, or the model asked about, is ready.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ready: Option<bool>,
}

/// The reply of `GET /v2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// The server's name.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// Protocol extensions: none.
    pub extensions: Vec<String>,
}

/// The reply of `GET /v2/models/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The name that was asked for.
    pub name: String,
    /// The versions there are.
    pub versions: Vec<String>,
    /// What the model runs on.
    pub platform: String,
    /// The tensors that a request carries.
    pub inputs: Vec<TensorMetadata>,
    /// The tensors that a reply carries.
    pub outputs: Vec<TensorMetadata>,
}

/// Name, type and shape of a tensor; -1 stands for any number of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// The tensor's name.
    pub name: String,
    /// Its datatype.
    pub datatype: String,
    /// Its shape.
    pub shape: Vec<i64>,
}

impl ModelMetadata {
    /// The metadata of a model that answers the scoring contract.
    pub fn of(name: impl Into<String>, version: impl Into<String>) -> Self {
        let tensor = |name: &str| TensorMetadata {
            name: name.to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![-1],
        };
        Self {
            name: name.into(),
            versions: vec![version.into()],
            platform: "medparse".to_owned(),
            inputs: vec![tensor("image"), tensor("text")],
            outputs: vec![tensor("image_features"), tensor("text_features")],
        }
    }
}
