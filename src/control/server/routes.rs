//! The routes under `/v1`: from HTTP to the operations and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Caller;
use crate::control::deliveries::{DeliveryFilter, RetryRequest};
use crate::control::emit::{self, MAX_LINE_BYTES};
use crate::control::error::{ApiError, Enveloped, Reason};
use crate::control::events::EventFilter;
use crate::control::operate::WorkFilter;
use crate::control::operations::{Control, RenderFormat, WaitRequest, json_line};

/// The revision of the effective config that a rendering shows.
pub(in crate::control) const REVISION_HEADER: &str = "x-routerd-effective-revision";
/// Its digest.
pub(in crate::control) const DIGEST_HEADER: &str = "x-routerd-effective-digest";
/// Says that this is a routerd, and which.
pub(in crate::control) const SERVER_HEADER: &str = "x-routerd-version";

/// What the routes need.
#[derive(Clone)]
struct Routes {
    control: Control,
    body_timeout: Duration,
    /// For requests that may stay as long as they like.
    stays: Arc<Semaphore>,
}

type Answered = Result<Response, ApiError>;

/// All routes.
pub(super) fn router(control: Control, body_timeout: Duration, stays: usize) -> Router {
    let stays = Arc::new(Semaphore::new(stays));
    Router::new()
        .route("/v1/version", get(version))
        .route("/v1/status", get(status))
        .route("/v1/events", get(list_events).post(emit_one))
        .route("/v1/events:lines", post(emit_lines))
        .route("/v1/render", get(render))
        .route("/v1/revision", get(revision))
        .route("/v1/objects/{kind}", get(objects))
        .route("/v1/objects/{kind}/{name}", get(object))
        .route("/v1/parts", get(parts))
        .route("/v1/parts:stored", get(stored_parts))
        .route("/v1/parts/{name}", get(part))
        .route("/v1/runs", get(runs))
        .route("/v1/runs/{run}", get(run))
        .route("/v1/federation/peers", get(peers))
        .route("/v1/federation/deliveries", get(deliveries))
        .route("/v1/federation/deliveries:summary", get(delivery_summary))
        .route("/v1/federation/retry", post(retry_deliveries))
        .route("/v1/failures", get(failures))
        .route("/v1/retry", post(retry))
        .route("/v1/rerun", post(rerun))
        .route("/v1/wait", post(wait))
        .route("/v1/backup", get(backup))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::map_response(sign))
        .with_state(Routes { control, body_timeout, stays })
}

/// For connections over the limit: says so, whatever is asked.
pub(super) fn busy() -> Router {
    let refuse = || async {
        ApiError::new(Reason::Busy, "too many connections to the daemon")
            .hint("try again in a moment")
    };
    Router::new().fallback(refuse).layer(axum::middleware::map_response(sign))
}

/// So that a client can tell a routerd from whatever else may listen on a socket.
async fn sign(mut response: Response) -> Response {
    let version = HeaderValue::from_static(crate::control::VERSION);
    response.headers_mut().insert(HeaderName::from_static(SERVER_HEADER), version);
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(Enveloped { error: self })).into_response()
    }
}

impl Routes {
    /// Runs what reads the store off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Control) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let control = self.control.clone();
        let done = tokio::task::spawn_blocking(move || read(&control)).await;
        done.unwrap_or_else(|_| Err(ApiError::new(Reason::Internal, "a bug: see the daemon's log")))
    }

    /// The same for what answers with JSON, encoding included.
    async fn json<T: Serialize + 'static>(
        &self,
        read: impl FnOnce(&Control) -> Result<T, ApiError> + Send + 'static,
    ) -> Answered {
        let body = self.blocking(move |control| json_line(&read(control)?)).await?;
        Ok(json_body(body))
    }

    /// Room for a request that stays as long as it likes: lines, waits and watches. Some connections
    /// are not for them, so that however many of them stall, `status` answers.
    fn stay(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.stays).try_acquire_owned().map_err(|_| {
            ApiError::new(Reason::Busy, "too many streams, waits and watches at the daemon")
                .hint("end some of them, or try again in a moment")
        })
    }

    /// A small JSON body.
    async fn body<T: DeserializeOwned>(&self, request: Request) -> Result<T, ApiError> {
        let bytes = self.bytes(request).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::invalid(format!("the body is not valid: {error}")))
    }

    async fn bytes(&self, request: Request) -> Result<Bytes, ApiError> {
        let body = Limited::new(request.into_body(), MAX_LINE_BYTES).collect();
        match tokio::time::timeout(self.body_timeout, body).await {
            Err(_) => Err(ApiError::new(Reason::Timeout, "the body did not come in time")),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
                Reason::TooLarge,
                format!("the body is over {MAX_LINE_BYTES} bytes"),
            )),
            Ok(Err(error)) => Err(ApiError::invalid(format!("the body broke off: {error}"))),
        }
    }
}

fn json_body(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(query)| query).map_err(|error| ApiError::invalid(error.body_text()))
}

/// What the path names; not every escape is text.
fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    path.map(|Path(path)| path).map_err(|error| ApiError::invalid(error.body_text()))
}

async fn no_route(request: Request) -> ApiError {
    ApiError::new(Reason::NotFound, format!("no route {}", request.uri().path()))
}

async fn wrong_method(method: Method, request: Request) -> ApiError {
    let path = request.uri().path();
    ApiError::new(Reason::MethodNotAllowed, format!("{path} does not take {method}"))
}

/// What `GET /v1/version` answers.
#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
}

async fn version() -> Answered {
    Ok(json_body(json_line(&Version { version: crate::control::VERSION })?))
}

async fn status(State(routes): State<Routes>) -> Answered {
    routes.json(Control::status).await
}

async fn list_events(
    State(routes): State<Routes>,
    filter: Result<Query<EventFilter>, QueryRejection>,
) -> Answered {
    let filter = query(filter)?;
    routes.json(move |control| control.events(&filter)).await
}

async fn emit_one(State(routes): State<Routes>, request: Request) -> Answered {
    let event = emit::parse(&routes.bytes(request).await?)?;
    Ok(json_body(json_line(&routes.control.emit(event).await?)?))
}

async fn emit_lines(State(routes): State<Routes>, request: Request) -> Answered {
    let staying = routes.stay()?;
    let answers = routes.control.emit_stream(request.into_body().into_data_stream());
    let answers = answers.inspect(move |_| _ = &staying);
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(answers)).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RenderQuery {
    #[serde(default)]
    format: RenderFormat,
    #[serde(default)]
    report: bool,
}

async fn render(
    State(routes): State<Routes>,
    asked: Result<Query<RenderQuery>, QueryRejection>,
) -> Answered {
    let RenderQuery { format, report } = query(asked)?;
    if report {
        return routes.json(Control::report).await;
    }
    let rendered = routes.blocking(move |control| control.render(format)).await?;
    let content_type = match format {
        RenderFormat::Yaml => "application/yaml",
        RenderFormat::Json => "application/json",
    };
    let mut response = ([(header::CONTENT_TYPE, content_type)], rendered.text).into_response();
    let headers = response.headers_mut();
    if let Some(revision) = rendered.revision {
        headers.insert(HeaderName::from_static(REVISION_HEADER), revision.into());
    }
    if let Ok(digest) = HeaderValue::from_str(&rendered.digest) {
        headers.insert(HeaderName::from_static(DIGEST_HEADER), digest);
    }
    Ok(response)
}

async fn objects(
    State(routes): State<Routes>,
    kind: Result<Path<String>, PathRejection>,
) -> Answered {
    let kind = path(kind)?;
    routes.json(move |control| control.objects(&kind)).await
}

async fn object(
    State(routes): State<Routes>,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Answered {
    let (kind, name) = path(names)?;
    routes.json(move |control| control.object(&kind, &name)).await
}

async fn parts(State(routes): State<Routes>) -> Answered {
    routes.json(Control::parts).await
}

async fn stored_parts(State(routes): State<Routes>) -> Answered {
    routes.json(Control::stored_parts).await
}

async fn part(State(routes): State<Routes>, name: Result<Path<String>, PathRejection>) -> Answered {
    let name = path(name)?;
    routes.json(move |control| control.part(&name)).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunsQuery {
    plugin: Option<String>,
    limit: Option<usize>,
}

async fn runs(
    State(routes): State<Routes>,
    asked: Result<Query<RunsQuery>, QueryRejection>,
) -> Answered {
    let RunsQuery { plugin, limit } = query(asked)?;
    routes.json(move |control| control.runs(plugin.as_deref(), limit)).await
}

async fn run(State(routes): State<Routes>, Path(run): Path<String>) -> Answered {
    let number = run.parse::<u64>();
    let number =
        number.map_err(|_| ApiError::new(Reason::NotFound, format!("{run:?} is no run")))?;
    routes.json(move |control| control.run(number)).await
}

async fn peers(State(routes): State<Routes>) -> Answered {
    routes.json(Control::peers).await
}

async fn deliveries(
    State(routes): State<Routes>,
    filter: Result<Query<DeliveryFilter>, QueryRejection>,
) -> Answered {
    let filter = query(filter)?;
    routes.json(move |control| control.deliveries(&filter)).await
}

async fn delivery_summary(State(routes): State<Routes>) -> Answered {
    routes.json(Control::delivery_summary).await
}

async fn retry_deliveries(State(routes): State<Routes>, request: Request) -> Answered {
    let request: RetryRequest = routes.body(request).await?;
    Ok(json_body(json_line(&routes.control.retry_deliveries(request).await?)?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitQuery {
    limit: Option<usize>,
}

async fn failures(
    State(routes): State<Routes>,
    asked: Result<Query<LimitQuery>, QueryRejection>,
) -> Answered {
    let LimitQuery { limit } = query(asked)?;
    routes.json(move |control| control.failures(limit)).await
}

async fn retry(State(routes): State<Routes>, request: Request) -> Answered {
    let filter: WorkFilter = routes.body(request).await?;
    Ok(json_body(json_line(&routes.control.retry(&filter).await?)?))
}

async fn rerun(State(routes): State<Routes>, request: Request) -> Answered {
    let filter: WorkFilter = routes.body(request).await?;
    Ok(json_body(json_line(&routes.control.rerun(&filter).await?)?))
}

/// Which revision the caller has seen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevisionQuery {
    after: Option<u64>,
    digest: Option<String>,
}

async fn revision(
    State(routes): State<Routes>,
    asked: Result<Query<RevisionQuery>, QueryRejection>,
) -> Answered {
    let RevisionQuery { after, digest } = query(asked)?;
    let _waiting = if after.is_some() { Some(routes.stay()?) } else { None };
    Ok(json_body(json_line(&routes.control.revision(after, digest).await?)?))
}

async fn wait(State(routes): State<Routes>, request: Request) -> Answered {
    let request: WaitRequest = routes.body(request).await?;
    let _waiting = routes.stay()?;
    Ok(json_body(json_line(&routes.control.wait(request).await?)?))
}

/// Not for everybody who may use the socket: elsewhere inline secrets are redacted.
async fn backup(State(routes): State<Routes>, Extension(caller): Extension<Caller>) -> Answered {
    if !caller.owns_the_state() {
        let why = "a backup holds inline secrets: it is for root and for the daemon's own user";
        return Err(ApiError::new(Reason::Forbidden, why).hint("run routerctl backup as root"));
    }
    let staying = routes.stay()?;
    let chunks = routes.control.backup().inspect(move |_| _ = &staying);
    let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((content_type, Body::from_stream(chunks)).into_response())
}
