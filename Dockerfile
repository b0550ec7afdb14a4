# The operator's image: one binary and the certificates of public authorities, no shell, not root.
#
# The base images are named by tags, which move. An image that is to be published is built on their digests of that day:
#   digest() { docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}'; }
#   docker build --build-arg BUILD_IMAGE=rust@$(digest rust:1.95-slim-bookworm) \
#     --build-arg BASE_IMAGE=gcr.io/distroless/cc-debian12@$(digest gcr.io/distroless/cc-debian12:nonroot) .
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package lifeguard --bin lifeguard

FROM ${BASE_IMAGE}
COPY --from=build /source/target/release/lifeguard /usr/local/bin/lifeguard
ENTRYPOINT ["/usr/local/bin/lifeguard"]
