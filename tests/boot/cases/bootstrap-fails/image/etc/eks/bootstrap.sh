#!/bin/bash
echo "called" >>/var/log/eks-bootstrap.log
echo "cannot reach the cluster" >&2
exit 7
