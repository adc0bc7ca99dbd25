//! The shapes that Azure Resource Manager gives its resources.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::AppState;
use crate::runtime::Status;
use crate::store::{DeploymentRecord, EndpointRecord, Extra};

/// The region that resources of this server name.
pub(super) const LOCATION: &str = "local";

/// The id of the workspace.
pub(crate) fn workspace_id(state: &AppState) -> String {
    let workspace = &state.config().workspace;
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}",
        workspace.subscription_id, workspace.resource_group, workspace.name
    )
}

/// What a client sends to make or change a resource.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Body {
    pub(super) tags: Option<Map<String, Value>>,
    pub(super) properties: Map<String, Value>,
    identity: Option<Value>,
    kind: Option<Value>,
    sku: Option<Value>,
}

impl Body {
    /// What of it is kept as it was sent.
    pub(super) fn extra(self) -> Extra {
        let members = [("identity", self.identity), ("kind", self.kind), ("sku", self.sku)];
        let members = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Extra {
            tags: self.tags.unwrap_or_default(),
            properties: self.properties,
            members: members.collect(),
        }
    }
}

/// Who made and changed a resource, and when.
fn system_data(created: Timestamp, modified: Timestamp) -> Value {
    json!({
        "createdAt": created.to_string(),
        "createdBy": "medparse",
        "createdByType": "Application",
        "lastModifiedAt": modified.to_string(),
        "lastModifiedBy": "medparse",
        "lastModifiedByType": "Application",
    })
}

/// An endpoint as a resource.
pub(super) fn endpoint(
    state: &AppState,
    base: &str,
    name: &str,
    record: &EndpointRecord,
    is_default: bool,
) -> Value {
    let scoring =
        if is_default { format!("{base}/score") } else { format!("{base}/endpoints/{name}/score") };
    let mut properties = record.extra.properties.clone();
    let own = json!({
        "authMode": record.auth_mode.rest_name(),
        "scoringUri": scoring,
        "swaggerUri": format!("{base}/swagger.json"),
        "provisioningState": "Succeeded",
        "traffic": record.traffic,
        "mirrorTraffic": record.mirror_traffic,
    });
    merge(&mut properties, own);
    properties.entry("properties").or_insert_with(|| json!({}));
    properties.entry("publicNetworkAccess").or_insert_with(|| json!("Enabled"));
    let mut resource = record.extra.members.clone();
    let id = format!("{}/onlineEndpoints/{name}", workspace_id(state));
    let own = json!({
        "id": id,
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "location": LOCATION,
        "tags": record.extra.tags,
        "properties": properties,
        "systemData": system_data(record.created, record.modified),
    });
    merge(&mut resource, own);
    resource.entry("kind").or_insert_with(|| json!("Managed"));
    resource.into()
}

/// A deployment as a resource.
pub(super) fn deployment(
    state: &AppState,
    endpoint: &str,
    name: &str,
    record: &DeploymentRecord,
) -> Value {
    let mut properties = record.extra.properties.clone();
    let status = state.runtime().status(endpoint, name);
    merge(&mut properties, json!({ "provisioningState": provisioning_state(&status, record) }));
    for (key, default) in [
        ("endpointComputeType", json!("Managed")),
        ("scaleSettings", json!({"scaleType": "Default"})),
        ("properties", json!({})),
        ("environmentVariables", json!({})),
        ("model", json!(record.model)),
        ("instanceType", json!("local")),
    ] {
        if properties.get(key).is_none_or(Value::is_null) {
            properties.insert(key.to_owned(), default);
        }
    }
    if let (Some(expires), Some(Value::Object(inner))) =
        (record.expires, properties.get_mut("properties"))
    {
        inner.insert("medparse.expires".to_owned(), json!(expires.to_string()));
    }
    let mut resource = record.extra.members.clone();
    let id = format!("{}/onlineEndpoints/{endpoint}/deployments/{name}", workspace_id(state));
    let own = json!({
        "id": id,
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        "location": LOCATION,
        "tags": record.extra.tags,
        "properties": properties,
        "systemData": system_data(record.created, record.modified),
    });
    merge(&mut resource, own);
    resource.entry("sku").or_insert_with(|| json!({"name": "Default", "capacity": 1}));
    resource.entry("kind").or_insert_with(|| json!("Managed"));
    resource.into()
}

/// Azure's word for how far a deployment is.
fn provisioning_state(status: &Status, record: &DeploymentRecord) -> &'static str {
    match status {
        Status::Ready => "Succeeded",
        Status::Failed(_) => "Failed",
        Status::Loading if record.created == record.modified => "Creating",
        Status::Loading => "Updating",
    }
}

fn merge(into: &mut Map<String, Value>, own: Value) {
    if let Value::Object(own) = own {
        into.extend(own);
    }
}

/// A page with everything on it.
pub(super) fn page(items: Vec<Value>) -> Value {
    json!({ "value": items, "nextLink": null })
}
