# The server in a container, without a GPU: `docker compose up`. It runs as nobody in particular, and fetches its weights
# into a volume when it first starts.
FROM python:3.11-slim

ENV HARKEN_HOME=/weights HOME=/weights PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 harken && install --directory --owner=harken /weights

WORKDIR /app
COPY constraints.txt ./
# The CPU build of torch by itself, so that what is heavy stays when the rest changes.
RUN pip install --no-cache-dir --constraint constraints.txt torch --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt '.[serve,kokoro]'

USER 10001
VOLUME /weights
EXPOSE 8998
CMD ["harken", "serve", "--host", "0.0.0.0"]
