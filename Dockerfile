# The relay in an image of its own: docker build -t sightline . (docs/installation.md).
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates make
WORKDIR /src
COPY . .
RUN make relay

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/sightline /usr/bin/sightline
# FFmpeg parses what cameras send: nobody's account, which owns no file.
USER 65534:65534
ENTRYPOINT ["sightline"]
CMD ["--config", "/etc/sightline/sightline.toml"]
