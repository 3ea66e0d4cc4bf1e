//! `GET /openapi.json`: the API as OpenAPI 3.1.

use axum::Json;
use serde_json::{Value, json};

/// `GET /openapi.json`.
pub async fn document() -> Json<Value> {
    Json(json!({}))
}
