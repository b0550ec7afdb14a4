# The operator's image: one binary and the certificates of public authorities, no shell, not root.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package lifeguard --bin lifeguard

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/lifeguard /usr/local/bin/lifeguard
ENTRYPOINT ["/usr/local/bin/lifeguard"]
