#!/bin/bash
# Replaces the bootstrap.sh of EKS, and does the same at the end: it writes the cluster's CA and the kubeconfig, sets
# kubelet's flags, restarts docker, and starts kubelet.  The original also queries the EC2 API, and gets the token from
# aws-iam-authenticator.
set -o errexit -o nounset
while [ $# -gt 0 ]; do
    case "$1" in
        --apiserver-endpoint) endpoint=$2 && shift ;;
        --b64-cluster-ca) ca=$2 && shift ;;
        --kubelet-extra-args) extra=$2 && shift ;;
        *) cluster=$1 ;;
    esac
    shift
done
mkdir -p /var/lib/kubelet /etc/kubernetes/pki /etc/systemd/system/kubelet.service.d
echo "$ca" | base64 -d >/etc/kubernetes/pki/ca.crt
cat >/var/lib/kubelet/kubeconfig <<EOF
apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster: {server: "$endpoint", certificate-authority: /etc/kubernetes/pki/ca.crt}
contexts:
- name: kubelet
  context: {cluster: kubernetes, user: kubelet}
current-context: kubelet
users:
- name: kubelet
  user: {tokenFile: /etc/kubelet.token}
EOF
cat >/etc/systemd/system/kubelet.service.d/30-kubelet-extra-args.conf <<EOF
[Service]
Environment='KUBELET_EXTRA_ARGS=$extra'
EOF
echo "$cluster" >/var/log/eks-bootstrap.log
systemctl daemon-reload
systemctl enable docker
systemctl restart docker
systemctl enable kubelet
systemctl start kubelet
