"""botocore: one request for each URL, by an endpoint as botocore's clients create it."""

import contextlib

import botocore.awsrequest
import botocore.endpoint
import botocore.exceptions
import botocore.hooks
import botocore.model
from each import urls

SERVICE = botocore.model.ServiceModel({"metadata": {"endpointPrefix": "any"}}, service_name="any")

for url in urls():
    creator = botocore.endpoint.EndpointCreator(botocore.hooks.HierarchicalEmitter())
    endpoint = creator.create_endpoint(SERVICE, "eu-west-1", endpoint_url=url, timeout=10)
    with contextlib.suppress(botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError):
        endpoint.http_session.send(botocore.awsrequest.AWSRequest("GET", url).prepare())
