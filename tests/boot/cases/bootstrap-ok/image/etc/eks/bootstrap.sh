#!/bin/bash
# Stand-in for the bootstrap.sh of EKS, which needs AWS: it records how it was called, restarts docker, and
# starts kubelet and waits for that.
set -o errexit
umask 077 # the environment has the proxy's password
{
    echo "arguments: $*"
    env | sort
    echo
} >>/var/log/eks-bootstrap.log
systemctl restart docker
systemctl enable kubelet
systemctl start kubelet
