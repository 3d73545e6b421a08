# One image for web, beat and workers; docker-compose.yml names the command of each.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends fping jq libcap2-bin \
    && setcap cap_net_raw+ep /usr/bin/fping \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /home/nms nms

WORKDIR /srv/nms
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .

ENV PYTHONUNBUFFERED=1 \
    BIND=0.0.0.0 \
    PORT=8000 \
    NMS_STATE_DIR=/home/nms/state \
    NMS_STATIC_ROOT=/srv/nms/static
# The key of this one command is thrown away with the layer's process.
RUN NMS_STATE_DIR=/tmp/build python manage.py collectstatic --noinput >/dev/null && rm -rf /tmp/build

USER nms
EXPOSE 8000
CMD ["python", "manage.py", "web"]
