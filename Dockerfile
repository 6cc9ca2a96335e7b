# An image with the three programs. It contains no secrets: settings come from the environment, or from
# files that it names.
FROM rust:1-slim-trixie AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bins -p polychron -p polychron-producer -p polychron-consumer \
 && install -D -t /out target/release/polychron target/release/polychron-producer target/release/polychron-consumer

FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home polychron
COPY --from=build /out/ /usr/local/bin/
USER polychron
CMD ["polychron", "--help"]
