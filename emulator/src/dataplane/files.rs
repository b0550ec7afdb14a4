//! `/files`: what is below `/mnt/data`, in both families of API versions.

use axum::Json;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::Call;
use super::error::ServiceError;
use super::session::Lease;
use super::target::Family;
use crate::behaviour::{SessionsBehaviour, Slashes};
use crate::session::{Content, DirectoryPath, EntryKind, FileEntry, FileName, Volume};

/// `POST /files`, or `POST /files/upload`.
pub(super) async fn upload(call: &Call, family: Family) -> Result<Response, ServiceError> {
    call.target.identifier()?;
    let (name, content) = read_upload(call).await?;
    let (directory, name) = Names::of(call)?.of_upload(family, &name)?;
    let lease = call.session().await?;
    let entry = volume(call, &lease).await?.write(directory, name, content).await?;
    let body = match family {
        Family::Newer => {
            let mut body = describe(&entry, 1);
            // As recorded: an upload is answered without its kind.
            body["type"] = "".into();
            body["contentType"] = "".into();
            body
        }
        Family::Older => json!({
            "$id": "1",
            "value": [{ "$id": "2", "properties": { "$id": "3", "filename": entry.name, "size": entry.bytes,
                "lastModifiedTime": entry.modified } }],
        }),
    };
    Ok((StatusCode::OK, Json(body)).into_response())
}

/// `GET /files`.
pub(super) async fn list(call: &Call, family: Family) -> Result<Response, ServiceError> {
    let directory = Names::of(call)?.directory;
    let recursive = call
        .target
        .parameter("recursive")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let lease = call.session().await?;
    let entries = volume(call, &lease).await?.list(directory, recursive).await?;
    let value: Vec<Value> = match family {
        Family::Newer => (2..)
            .zip(&entries)
            .map(|(number, entry)| describe(entry, number))
            .collect(),
        Family::Older => entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::File)
            .zip((2..).step_by(2))
            .map(|(entry, number)| describe_older(entry, number))
            .collect(),
    };
    Ok(Json(json!({ "$id": "1", "value": value })).into_response())
}

/// `GET /files/{name}`.
pub(super) async fn metadata(call: &Call, family: Family, path: &[&str]) -> Result<Response, ServiceError> {
    let (directory, name) = Names::of(call)?.of_path(call, path)?;
    let lease = call.session().await?;
    let entry = volume(call, &lease).await?.metadata(directory, name).await?;
    let body = match family {
        Family::Newer => describe(&entry, 1),
        Family::Older => describe_older(&entry, 1),
    };
    Ok(Json(body).into_response())
}

/// `GET /files/{name}/content`, or `GET /files/content/{name}`.
pub(super) async fn content(call: &Call, path: &[&str]) -> Result<Response, ServiceError> {
    let (directory, name) = Names::of(call)?.of_path(call, path)?;
    let lease = call.session().await?;
    let content = volume(call, &lease).await?.read(directory, name).await?;
    let (length, body) = match content {
        Content::Bytes(bytes) => (bytes.len() as u64, Body::from(bytes)),
        Content::File(file, length) => {
            let reader = tokio::fs::File::from_std(file).take(length);
            (
                length,
                Body::from_stream(ReaderStream::with_capacity(reader, 64 * 1024)),
            )
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// `DELETE /files/{name}`.
pub(super) async fn remove(call: &Call, family: Family, path: &[&str]) -> Result<Response, ServiceError> {
    let (directory, name) = Names::of(call)?.of_path(call, path)?;
    let lease = call.session().await?;
    volume(call, &lease).await?.remove(directory, name.clone()).await?;
    Ok(match family {
        Family::Newer => StatusCode::NO_CONTENT.into_response(),
        Family::Older => {
            Json(json!({ "message": format!("File {} deleted successfully.", name.as_str()) })).into_response()
        }
    })
}

/// How the names of a request are read.
struct Names {
    /// What `path` says.
    directory: DirectoryPath,
    characters: String,
    slashes: Slashes,
}

impl Names {
    fn of(call: &Call) -> Result<Self, ServiceError> {
        let SessionsBehaviour {
            file_name_characters,
            slashes_in_file_names,
            ..
        } = &call.state.behaviour().sessions;
        let directory = call.target.parameter("path").unwrap_or_default();
        Ok(Self {
            directory: DirectoryPath::parse_with(directory, file_name_characters)?,
            characters: file_name_characters.clone(),
            slashes: *slashes_in_file_names,
        })
    }

    /// Where an upload goes, by the name of its part.
    fn of_upload(self, family: Family, name: &str) -> Result<(DirectoryPath, FileName), ServiceError> {
        match (self.slashes, family) {
            (Slashes::Directory, _) => self.nested(name),
            (Slashes::LastPart, Family::Older) => {
                let last = name.rsplit('/').next().unwrap_or(name);
                self.flat(last)
            }
            (Slashes::LastPart, Family::Newer) => self.flat(name),
        }
    }

    /// The file that the segments of a path name.
    fn of_path(self, call: &Call, segments: &[&str]) -> Result<(DirectoryPath, FileName), ServiceError> {
        match (self.slashes, segments) {
            (Slashes::Directory, segments) => self.nested(&segments.join("/")),
            (Slashes::LastPart, [name]) => self.flat(name),
            (Slashes::LastPart, _) => Err(call.no_path()),
        }
    }

    fn flat(self, name: &str) -> Result<(DirectoryPath, FileName), ServiceError> {
        let name = FileName::parse_with(name, &self.characters)?;
        Ok((self.directory, name))
    }

    fn nested(self, path: &str) -> Result<(DirectoryPath, FileName), ServiceError> {
        let Some((directory, name)) = path.rsplit_once('/') else {
            return self.flat(path);
        };
        let directory = if directory.starts_with('/') {
            directory.to_owned()
        } else {
            format!("{}/{directory}", self.directory.as_str())
        };
        let directory = DirectoryPath::parse_with(&directory, &self.characters)?;
        Ok((directory, FileName::parse_with(name, &self.characters)?))
    }
}

async fn volume(call: &Call, lease: &Lease) -> Result<Volume, ServiceError> {
    Ok(lease
        .backend(&call.state.dataplane().host, call.state.clock())
        .await?
        .volume()
        .clone())
}

/// The part `file` of a multipart body: its name and content.
async fn read_upload(call: &Call) -> Result<(String, Bytes), ServiceError> {
    let refuse = |message: String| ServiceError::bad_request("InvalidRequestBody", message);
    // The body has been read by now, up to a limit above that of a file.
    let mut request = Request::new(Body::from(call.body.clone()));
    *request.headers_mut() = call.parts.headers.clone();
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| refuse(error.body_text()))?;
    while let Some(part) = parts.next_field().await.map_err(|error| refuse(error.body_text()))? {
        if part.name() != Some("file") {
            continue;
        }
        let name = part
            .file_name()
            .ok_or_else(|| refuse("The part 'file' has no file name.".to_owned()))?;
        let name = name.to_owned();
        let content = part.bytes().await.map_err(|error| refuse(error.body_text()))?;
        let limit = call.state.behaviour().sessions.file_limit_bytes;
        if content.len() > limit {
            return Err(ServiceError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "FileTooLarge",
                format!("The file is larger than {limit} bytes."),
            ));
        }
        return Ok((name, content));
    }
    Err(refuse("The body has no part 'file'.".to_owned()))
}

/// `SessionResourceFile`. The serializer of the service numbers its objects (`$id`).
fn describe(entry: &FileEntry, number: usize) -> Value {
    let (kind, content_type) = match entry.kind {
        EntryKind::File => ("file", "application/octet-stream"),
        EntryKind::Directory => ("directory", ""),
    };
    json!({
        "$id": number.to_string(),
        "name": entry.name,
        "type": kind,
        "contentType": content_type,
        "sizeInBytes": entry.bytes,
        "lastModifiedAt": entry.modified,
        "directory": format!("/mnt/data/{}", entry.directory.as_str()).trim_end_matches('/'),
    })
}

fn describe_older(entry: &FileEntry, number: usize) -> Value {
    json!({
        "$id": number.to_string(),
        "properties": {
            "$id": (number + 1).to_string(),
            "filename": entry.name,
            "size": entry.bytes,
            "lastModifiedTime": entry.modified,
        },
    })
}
